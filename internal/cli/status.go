package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
)

func newStatus(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var watch bool
	var interval time.Duration
	c := &cobra.Command{
		Use:   "status [FILE]",
		Short: "Say how a cluster is, what is wrong, and what to do",
		Long: `Connects to all hosts of a cluster file, cluster.yaml by default, and shows nodes, control planes, etcd, the endpoint, certificates, versions and what runs in the cluster
on Kubewright's behalf; then what is wrong and what to do, worst first. It takes no locks, changes nothing, and needs no bundle. Hosts are asked directly: it is of use when no API server
answers, too. What could not be asked is "unknown", which does not say that it is down.

Exits with 0 if nothing is wrong, warnings aside, and with 1 if something is.

With --watch it looks again and again, over the same connections, until it is interrupted (Ctrl-C), and then exits with 0. Hosts that do not answer are tried again all the
while. On a terminal each look is drawn over the one before, what is wrong first; elsewhere they are written one after another.

With --output json the same is printed as one object: cluster, time, well, findings (severity, kind, host, message, remedy), nodes, controlPlanes, etcd (members, quorum, voters, healthy,
mayFail, alarms), etcdEvents (likewise, if there is one for events), endpoint, certificates, versions, addons, requests. States are well, wrong or unknown. Fields that are there stay as they are; new ones may come.
With --watch each look is an object on a line of its own.`,
		Example: "  kubewright status\n  kubewright status prod.yaml --output json | jq .findings\n  kubewright status --watch\n" +
			"  kubewright status --watch --interval 30s --output json | jq --unbuffered -r '.time + \" \" + .findings[].message'",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkInterval(c, watch, interval); err != nil {
				return err
			}
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "status")
			if err != nil {
				if watch && errors.Is(err, context.Canceled) {
					return nil
				}
				return err
			}
			defer w.Close()
			if watch {
				return watchStatus(c, f.output, w, interval)
			}
			s, err := w.Status(c.Context())
			if err != nil {
				return err
			}
			w.Close()
			return f.answer(c, s, s.Well, func(out io.Writer) error { return showStatus(out, s) })
		},
	}
	f.addOutput(c, "o")
	f.addHosts(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "look again and again until it is interrupted")
	c.Flags().DurationVar(&interval, "interval", defaultInterval, "how long --watch rests between two looks; at least 1s")
	return c
}

func checkInterval(c *cobra.Command, watch bool, interval time.Duration) error {
	switch {
	case !watch && c.Flags().Changed("interval"):
		return usageError{errors.New("--interval is of --watch: say both")}
	case interval < time.Second:
		return usageError{fmt.Errorf("--interval %s: want at least 1s", interval)}
	}
	return nil
}

// showStatus is a status for people. What is wrong comes last, where they look first.
func showStatus(out io.Writer, s converge.Status) error {
	for _, t := range statusTables(s) {
		if err := t.write(out, t.rows); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	for _, line := range statusSums(s) {
		fmt.Fprintln(out, line)
	}
	return showFindings(out, s)
}

// statusSums are what it comes to, a line each.
func statusSums(s converge.Status) []string {
	list := []string{fmt.Sprintf("Etcd: %s.", s.Etcd.Text())}
	if s.EtcdEvents != nil {
		list = append(list, fmt.Sprintf("Etcd for events: %s.", s.EtcdEvents.Text()))
	}
	return append(list, fmt.Sprintf("Endpoint: %s.", endpointText(s.Endpoint)),
		fmt.Sprintf("Certificates: %s.", certificatesText(s.Certificates)), fmt.Sprintf("Versions: %s.", versionsText(s.Versions)))
}

// showFindings is what is wrong and what to do, or that nothing is.
func showFindings(out io.Writer, s converge.Status) error {
	if len(s.Findings) == 0 {
		_, err := fmt.Fprintf(out, "\nNothing is wrong with %s.\n", s.Cluster)
		return err
	}
	titles := map[converge.Severity]string{converge.SevereWrong: "What is wrong, and what to do:", converge.SevereWarning: "Watch out:"}
	var last converge.Severity
	for _, f := range s.Findings {
		if f.Severity != last {
			fmt.Fprintf(out, "\n%s\n", titles[f.Severity])
			last = f.Severity
		}
		about := cmp.Or(f.Host, s.Cluster)
		if _, err := fmt.Fprintf(out, "  %s: %s\n    %s\n", about, strings.ReplaceAll(f.Message, "\n", "\n    "), f.Remedy); err != nil {
			return err
		}
	}
	return nil
}

func endpointText(e converge.EndpointStatus) string {
	text := fmt.Sprintf("%s, %s", e.Address, e.Kind)
	if e.Public != "" {
		text += " at " + e.Public
	}
	if len(e.Holders) > 0 {
		text += ", which " + strings.Join(e.Holders, " and ") + " has"
	}
	for _, part := range []struct {
		list      []converge.BalancerStatus
		how, what string
	}{{e.Ways, "answers there from", "host"}, {e.Balancers, "answers through", "balancer"}} {
		if len(part.list) == 0 {
			continue
		}
		well, unknown := 0, 0
		for _, b := range part.list {
			switch b.State {
			case converge.Well:
				well++
			case converge.NotKnown:
				unknown++
			}
		}
		text += fmt.Sprintf("; an API server %s %d of %s", part.how, well, count(len(part.list), part.what))
		if unknown > 0 {
			text += fmt.Sprintf(", of %d nothing is known", unknown)
		}
	}
	return text
}

// certificatesText says until when all of those that are known are valid.
func certificatesText(list []converge.CertificateStatus) string {
	if len(list) == 0 {
		return "none were found"
	}
	readable := slices.DeleteFunc(slices.Clone(list), func(c converge.CertificateStatus) bool { return c.Problem != "" })
	if len(readable) == 0 {
		return fmt.Sprintf("none of %d can be read", len(list))
	}
	first := slices.MinFunc(readable, func(a, b converge.CertificateStatus) int { return a.Until.Compare(b.Until) })
	return fmt.Sprintf("%d; the first ends on %s (%s on %s)", len(list), first.Until.Format(time.DateOnly), first.Path, first.Host)
}

// versionsText names the versions of Kubernetes, and where there are several, whose they are.
func versionsText(list []converge.VersionStatus) string {
	switch len(list) {
	case 0:
		return "unknown"
	case 1:
		return "Kubernetes " + list[0].Version
	}
	var all []string
	for _, v := range list {
		of := v.Of
		const most = 3
		if more := len(of) - most; more > 0 {
			of = append(slices.Clone(of[:most]), fmt.Sprintf("%d more", more))
		}
		all = append(all, fmt.Sprintf("%s (%s)", v.Version, strings.Join(of, ", ")))
	}
	return "Kubernetes " + strings.Join(all, ", ")
}

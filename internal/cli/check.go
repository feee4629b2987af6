package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
)

func newCheck(components Components) *cobra.Command {
	f := &clusterFlags{components: components, bundleOptional: true}
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say whether hosts are fit for what the cluster file asks, with figures and remedies",
		Long: `Connects to all hosts of a cluster file, cluster.yaml by default, and looks at everything that can be known before a change: whether they are reached and an agent runs as
root, distribution, kernel, control groups, processors and memory against the tables of "kubewright size", room, how long the disks of etcd take to sync (against etcd's documented limit),
clocks, name servers, whether somebody else has their addresses, how long packets between them may be, which ports others have, and what of the plan cannot be made so.

It takes no locks and changes nothing. For 3 seconds, and 1 where a cluster lives, it writes to the disks of etcd as etcd does; it sends pings between hosts, asks their networks by ARP who
else has their addresses, and asks their name servers for kubernetes.io. It may be asked of machines that carry nothing yet, and of a cluster that runs.

Exits with 0 if nothing fails, warnings aside, and with 1 if something does or could not be found out.

With --output json the same is printed as one object: cluster, time, ready, checks (name, kind, host, outcome, value, message, remedy). Outcomes are pass, warn, fail or unknown.`,
		Example: "  kubewright check\n  kubewright check prod.yaml --output json | jq '.checks[] | select(.outcome != \"pass\")'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "check")
			if err != nil {
				return err
			}
			defer w.Close()
			s, err := w.Check(c.Context(), w.noBundle)
			if err != nil {
				return err
			}
			w.Close()
			return f.answer(c, s, s.Ready, func(out io.Writer) error { return showChecks(out, s) })
		},
	}
	f.add(c, "o")
	return c
}

// showChecks are a line for each check that all hosts pass, and then what they do not pass, worst last, where people look first.
func showChecks(out io.Writer, s converge.Checks) error {
	byName := map[string][]converge.Check{}
	var names []string
	for _, c := range s.Checks {
		if byName[c.Name] == nil {
			names = append(names, c.Name)
		}
		byName[c.Name] = append(byName[c.Name], c)
	}
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "CHECK\tOUTCOME\tHOSTS\tFOUND")
	for _, name := range names {
		list := byName[name]
		n := map[converge.Outcome]int{}
		var values []converge.Check
		for _, c := range list {
			n[c.Outcome]++
		}
		for _, c := range list {
			if c.Value != "" && c.Outcome == outcomeOf(n) { // of the hosts that the row is about
				values = append(values, c)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, outcomeOf(n), hostsOf(list), found(values))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	bad := 0
	for _, group := range []struct {
		outcome converge.Outcome
		title   string
	}{{converge.Warn, "Watch out:"}, {converge.NotChecked, "Not known:"}, {converge.Fail, "What fails, and what to do:"}} {
		list := alike(s.Checks, group.outcome)
		if len(list) == 0 {
			continue
		}
		bad += len(list)
		fmt.Fprintf(out, "\n%s\n", group.title)
		for _, a := range list {
			if _, err := fmt.Fprintf(out, "  %s: %s\n", cmp.Or(a.hosts, s.Cluster), a.message); err != nil {
				return err
			}
			if a.remedy != "" {
				fmt.Fprintf(out, "    %s\n", a.remedy)
			}
		}
	}
	var err error
	switch {
	case bad == 0:
		_, err = fmt.Fprintf(out, "\nAll is well for %s.\n", s.Cluster)
	case s.Ready:
		_, err = fmt.Fprintf(out, "\nNothing stands in the way of %s.\n", s.Cluster)
	}
	return err
}

// outcomeOf is the worst of several.
func outcomeOf(n map[converge.Outcome]int) converge.Outcome {
	for _, o := range []converge.Outcome{converge.Fail, converge.NotChecked, converge.Warn} {
		if n[o] > 0 {
			return o
		}
	}
	return converge.Pass
}

func hostsOf(list []converge.Check) string {
	hosts := map[string]bool{}
	for _, c := range list {
		if c.Host != "" {
			hosts[c.Host] = true
		}
	}
	switch len(hosts) {
	case 0:
		return "-"
	case 1:
		for h := range hosts {
			return h
		}
	}
	return fmt.Sprintf("%d", len(hosts))
}

// found is what was, if it is the same everywhere, or on the host where it is worst.
func found(list []converge.Check) string {
	if len(list) == 0 {
		return "-"
	}
	if !slices.ContainsFunc(list, func(c converge.Check) bool { return c.Value != list[0].Value }) {
		return list[0].Value
	}
	worst := converge.Worst(list)
	return fmt.Sprintf("%s (%s, the worst)", worst.Value, worst.Host)
}

// remark is what was said of some hosts.
type remark struct{ hosts, message, remedy string }

// alike are checks with an outcome: those that say the same of several hosts once, and of those that differ in a figure the worst.
func alike(all []converge.Check, o converge.Outcome) []remark {
	type kind struct{ name, message, remedy string }
	byKind := map[kind][]converge.Check{}
	var order []kind
	for _, c := range all {
		if c.Outcome != o {
			continue
		}
		k := kind{c.Name, c.Message, c.Remedy}
		if c.Measured() {
			k.message = ""
		}
		if byKind[k] == nil {
			order = append(order, k)
		}
		byKind[k] = append(byKind[k], c)
	}
	var list []remark
	for _, k := range order {
		checks := byKind[k]
		if k.message != "" || len(checks) == 1 {
			list = append(list, remark{names(checks), checks[0].Message, k.remedy})
			continue
		}
		// All of the host that is worst, and the names of the others.
		worst := converge.Worst(checks)
		for _, c := range checks {
			if c.Host == worst.Host {
				list = append(list, remark{c.Host, c.Message, k.remedy})
			}
		}
		if others := slices.DeleteFunc(slices.Clone(checks), func(c converge.Check) bool { return c.Host == worst.Host }); len(others) > 0 {
			list[len(list)-1].message += ". Less badly so on " + names(others)
		}
	}
	return list
}

// names of hosts, a few of them.
func names(checks []converge.Check) string {
	var names []string
	for _, c := range checks {
		if c.Host != "" && !slices.Contains(names, c.Host) {
			names = append(names, c.Host)
		}
	}
	const most = 5
	if more := len(names) - most; more > 1 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

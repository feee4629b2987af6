package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
)

func newDoctor(components Components) *cobra.Command {
	f := &clusterFlags{components: components, bundleOptional: true}
	c := &cobra.Command{
		Use:   "doctor [FILE]",
		Short: "Find out why a cluster is not well",
		Long: `Gathers what "kubewright status" and "kubewright check" look at, what differs from the cluster file, and what the kernels of hosts complained of, and names the likely causes, the most
fundamental first, each with its evidence, what it may explain, and what to do. It knows these: hosts that do not answer, full or broken disks, memory that ran out, clocks, an address that
two machines have, packets that get lost by their length, full tables of connections, disks too slow for etcd, certificates that ran out, swap, ports that others have, kernels that lack
something, missing images, dead name servers, and what was changed by hand.

It takes no locks and changes nothing, and measures what "kubewright check" measures.

Exits with 0 if nothing is wrong, and with 1 if something is.

With --output json it prints one object: cluster, time, well, causes (name, hosts, evidence, remedy, explains), unexplained, drift, kernel, and under status and checks all that those commands
print.`,
		Example: "  kubewright doctor\n  kubewright doctor prod.yaml --output json | jq .causes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "doctor")
			if err != nil {
				return err
			}
			defer w.Close()
			d, err := w.Diagnose(c.Context(), w.noBundle)
			if err != nil {
				return err
			}
			w.Close()
			return f.answer(c, d, d.Well, func(out io.Writer) error { return showDiagnosis(out, d) })
		},
	}
	f.add(c, "o")
	return c
}

// Of each cause, so much is shown.
const (
	maxEvidence = 6
	maxExplains = 6
)

// showDiagnosis are the causes, and what none of them explains.
func showDiagnosis(out io.Writer, d converge.Diagnosis) error {
	var text strings.Builder
	line := func(indent int, format string, args ...any) {
		s := fmt.Sprintf(format, args...)
		pad := strings.Repeat(" ", indent)
		fmt.Fprintf(&text, "%s%s\n", pad, strings.ReplaceAll(s, "\n", "\n  "+pad))
	}
	switch {
	case d.Well && len(d.Causes) == 0 && len(d.Unknown) > 0:
		line(0, "Nothing was found that is wrong with %s, and not everything could be looked at.", d.Cluster)
	case d.Well && len(d.Causes) == 0:
		line(0, "Nothing is wrong with %s, and nothing was found that may become so.", d.Cluster)
	case d.Well:
		line(0, "Nothing is wrong with %s. What may become so:", d.Cluster)
	case len(d.Causes) == 0:
		line(0, "%s is not well, and none of the known causes was found.", d.Cluster)
	default:
		line(0, "%s is not well. It most likely comes from these, the first one first:", d.Cluster)
	}
	for i, c := range d.Causes {
		line(0, "")
		line(0, "%d. %s", i+1, c.Name)
		for n, e := range c.Evidence {
			if more := len(c.Evidence) - n; n >= maxEvidence && more > 1 {
				line(3, "and %d more", more)
				break
			}
			line(3, "%s: %s", cmp.Or(e.Host, d.Cluster), e.Text)
		}
		line(3, "To do: %s.", c.Remedy)
		if len(c.Explains) > 0 {
			line(3, "It may be why:")
		}
		for n, f := range c.Explains {
			if more := len(c.Explains) - n; n >= maxExplains && more > 1 {
				line(5, "and %d more", more)
				break
			}
			line(5, "%s: %s", cmp.Or(f.Host, d.Cluster), f.Message)
		}
	}
	if len(d.Unexplained) > 0 && len(d.Causes) > 0 {
		line(0, "")
		line(0, "Not explained by these:")
	} else if len(d.Unexplained) > 0 {
		line(0, "")
	}
	for _, f := range d.Unexplained {
		line(2, "%s: %s", cmp.Or(f.Host, d.Cluster), f.Message)
		line(4, "%s", f.Remedy)
	}
	if len(d.Unknown) > 0 {
		line(0, "")
		line(0, "Could not be looked at:")
	}
	for n, u := range d.Unknown {
		if more := len(d.Unknown) - n; n >= maxEvidence && more > 1 {
			line(2, "and %d more", more)
			break
		}
		line(2, "%s: %s: %s", cmp.Or(u.Host, d.Cluster), u.Name, u.Message)
	}
	if !d.Well {
		line(0, "")
		line(0, "\"kubewright logs HOST COMPONENT\" shows what a component said, \"kubewright support-bundle\" puts all of it into one file for others.")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

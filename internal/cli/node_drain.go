package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/ui"
)

func newNodeDrain(components Components, file *string) *cobra.Command {
	f := &clusterFlags{components: components}
	var yes bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "drain NAME",
		Short: "Have all Pods leave a node, in order",
		Long: `Cordons a node, so that no Pods are put on it any more, and evicts those that are on it: their controllers make them anew on other nodes. Pods of DaemonSets, static Pods and
those that have ended stay. It shows before what becomes of them, and asks: which are lost because no controller makes them anew, whose data in emptyDir volumes is lost, and which
PodDisruptionBudgets let none go at the moment.

Budgets are respected: a Pod that its budget needs is asked again every few seconds. What has not left when --timeout is over is named, and why; the node stays cordoned, and running it again
goes on. Once it is drained, the node stays so until somebody uncordons it, also if it is restarted and whatever is applied.

The first interrupt (Ctrl-C) ends the waiting; Pods that were told to leave do so.`,
		Example: "  kubewright node drain worker7\n  kubewright node drain worker7 --timeout 30m --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if timeout < time.Second {
				return usageError{fmt.Errorf("--timeout %s: want at least 1s", timeout)}
			}
			in, err := readInput(c, []string{*file}, false)
			if err != nil {
				return err
			}
			if !yes {
				if err := mayAsk(c, f.output); err != nil {
					return err
				}
			}
			start, name := time.Now(), args[0]
			w, err := f.open(c, in, "drain "+name+" of")
			if err != nil {
				return err
			}
			defer w.Close()
			nothing := false
			err = w.Drain(c.Context(), name, timeout, func(p *plan.Plan) error {
				if nothing = p.Empty(); nothing || f.output == "json" {
					return nil
				}
				w.view.Pause()
				defer w.view.Resume()
				if err := showDrain(c.OutOrStdout(), name, p); err != nil || yes {
					return err
				}
				return ask(c, fmt.Sprintf("Drain %s?", name), converge.ErrDeclined)
			})
			err = unknownNode(err)
			w.end(err)
			w.Close()
			switch {
			case err != nil || f.output != "text":
			case nothing:
				fmt.Fprintf(c.OutOrStdout(), "%s is cordoned, and there is nothing on it that has to leave.\n", name)
			default:
				fmt.Fprintf(c.OutOrStdout(), "%s is drained, in %s. To have Pods put on it again: kubewright node uncordon %s\n", name, ui.Seconds(time.Since(start)), name)
			}
			return err
		},
	}
	f.addOutput(c, "o")
	f.addHosts(c)
	f.addLockTimeout(c)
	c.Flags().DurationVar(&timeout, "timeout", resource.DrainTime, "how long Pods may take to leave; at least 1s")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// showDrain shows what becomes of a node and its Pods, each thing once.
func showDrain(out io.Writer, node string, p *plan.Plan) error {
	var lines []string
	for _, s := range p.Steps {
		for _, r := range s.Changes {
			for _, change := range r.Changes {
				if line := change.String(); !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
	}
	text := node + "\n"
	for _, line := range lines {
		text += "  " + line + "\n"
	}
	_, err := io.WriteString(out, ui.Printable(text))
	return err
}

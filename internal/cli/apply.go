package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/ui"
)

func newApply(components Components) *cobra.Command {
	f := &clusterFlags{components: components, lockFirst: true}
	var yes, full bool
	c := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Make hosts what the cluster file says",
		Long: `Shows the plan of a cluster file, cluster.yaml by default, asks, and executes it: each step starts when what it needs is there, and it goes on
until nothing is left to do. Applied again, it does nothing and restarts nothing. It can be interrupted anywhere and run again.

FILE may be a plan that "kubewright plan -o" saved; it is executed without being asked about, if the world is as it was.

Meanwhile a terminal shows what each host is at, or, of more hosts than it has rows, how many run, wait and for what, failed or do not answer, and those that tell the most;
what fails stays above. Elsewhere there is a line for each step that begins, waits or ends, and with --output json one for everything that happens.

Two runs never change a cluster at once: one waits for the other, and says who has the locks. The first interrupt (Ctrl-C) finishes what is in hand on the
hosts and stops; a second one cuts.

Each run is recorded: see "kubewright runs".`,
		Example: "  kubewright apply\n  kubewright apply prod.yaml --yes\n  kubewright apply changes.plan\n  kubewright apply --yes --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := readInput(c, args, true)
			if err != nil {
				return err
			}
			if !yes && in.saved == nil {
				if err := mayAsk(c, f.output); err != nil {
					return err
				}
			}
			return apply(c, f, in, yes, full)
		},
	}
	f.add(c, "o")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&full, "full", false, "show all lines of files that change")
	f.addLockTimeout(c)
	return c
}

// apply shows the plan of a cluster file, or of a saved plan, asks unless yes, and executes it.
func apply(c *cobra.Command, f *clusterFlags, in input, yes, full bool) error {
	start := time.Now()
	w, err := f.open(c, in, "apply")
	if err != nil {
		return err
	}
	defer w.Close()
	nothing := false
	err = w.Apply(c.Context(), func(p *plan.Plan) error {
		nothing = p.Empty()
		if err := checkSaved(p, in.saved); err != nil {
			return err
		}
		if f.output == "json" {
			return nil
		}
		w.view.Pause()
		defer w.view.Resume()
		if err := showPlan(c, p, full); err != nil {
			return err
		}
		if yes || in.saved != nil || p.Counts().Hosts == 0 {
			return nil
		}
		return ask(c, "Apply it?", converge.ErrDeclined)
	})
	w.end(err)
	w.Close()
	if err == nil && f.output == "text" && !nothing {
		fmt.Fprintf(c.OutOrStdout(), "\nDone in %s. Where the time went: kubewright runs show %s\n", ui.Seconds(time.Since(start)), w.runID)
	}
	return err
}

package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/ui"
)

func newApply(components Components) *cobra.Command {
	f := &clusterFlags{components: components, lockFirst: true}
	var consent typedName
	var full bool
	c := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Make hosts what the cluster file says",
		Long: `Shows the plan of a cluster file, cluster.yaml by default, asks, and executes it: each step starts when what it needs is there, and it goes on
until nothing is left to do. Applied again, it does nothing and restarts nothing. It can be interrupted anywhere and run again.

FILE may be a plan that "kubewright plan -o" saved; it is executed without being asked about, if the world is as it was.

Some plans are refused because of what would be lost: most often the file is not the right one. Where the refusal says so, --force overrules it. The plan says under "Look twice" what is
lost then, and the name of the cluster is to be typed; in scripts, --yes and --cluster NAME say the same. All other refusals stay, and without one --force changes nothing.

Meanwhile a terminal shows what each host is at, or, of more hosts than it has rows, how many run, wait and for what, failed or do not answer, and those that tell the most;
what fails stays above. Elsewhere there is a line for each step that begins, waits or ends, and with --output json one for everything that happens.

Two runs never change a cluster at once: one waits for the other, and says who has the locks. The first interrupt (Ctrl-C) finishes what is in hand on the
hosts and stops; a second one cuts.

Each run is recorded: see "kubewright runs".`,
		Example: "  kubewright apply\n  kubewright apply prod.yaml --yes\n  kubewright apply changes.plan\n  kubewright apply --yes --output json\n  kubewright apply --force\n  kubewright apply prod.yaml --force --yes --cluster prod",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !f.force && consent.name != "" {
				return usageError{errors.New("--cluster is for --force: nothing else wants the name")}
			}
			in, err := readInput(c, args, true)
			if err != nil {
				return err
			}
			if f.force {
				err = consent.check(c, f.output)
			} else if !consent.yes && in.saved == nil {
				err = mayAsk(c, f.output)
			}
			if err != nil {
				return err
			}
			return apply(c, f, in, consent, full)
		},
	}
	f.add(c, "o")
	c.Flags().BoolVarP(&consent.yes, "yes", "y", false, "do not ask; with --force it wants --cluster")
	c.Flags().BoolVar(&f.force, "force", false, "overrule refusals that say what is lost by that; the name of the cluster is to be typed then")
	c.Flags().StringVar(&consent.name, "cluster", "", "name of the cluster, with --force and --yes")
	c.Flags().BoolVar(&full, "full", false, "show all lines of files that change")
	f.addLockTimeout(c)
	return c
}

// apply shows the plan of a cluster file, or of a saved plan, asks unless somebody agreed already, and executes it.
func apply(c *cobra.Command, f *clusterFlags, in input, consent typedName, full bool) error {
	start := time.Now()
	w, err := f.open(c, in, "apply")
	if err != nil {
		return err
	}
	defer w.Close()
	if f.force {
		if err := consent.fits(in.name, w.cluster.Name); err != nil {
			w.end(err)
			return err
		}
	}
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
		return agree(c, p, consent, in.saved != nil, w.cluster.Name)
	})
	w.end(err)
	w.Close()
	if err == nil && f.output == "text" && !nothing {
		fmt.Fprintf(c.OutOrStdout(), "\nDone in %s. Where the time went: kubewright runs show %s\n", ui.Seconds(time.Since(start)), w.runID)
	}
	return err
}

// agree asks about a plan what has not been answered yet. Who saved it agreed to it, but not to what is lost where something is overruled.
func agree(c *cobra.Command, p *plan.Plan, consent typedName, saved bool, cluster string) error {
	switch {
	case p.Counts().Hosts == 0:
		return nil
	case len(p.Overruled()) > 0:
		return consent.ask(c, cluster)
	case consent.yes || saved:
		return nil
	}
	return ask(c, "Apply it?", converge.ErrDeclined)
}

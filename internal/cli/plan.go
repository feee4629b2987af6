package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubewright/kubewright/internal/plan"
)

// shownLines of each file that changes are shown unless all are asked for.
const shownLines = 12

func newPlan(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var detailed, full bool
	var out string
	c := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Say what apply would change, and change nothing",
		Long: `Connects to all hosts of a cluster file, cluster.yaml by default, compares what they are with what they shall be, and shows the difference by host
and step: changed lines of files, what restarts and why, what is unknown. It takes no locks and changes nothing but the agent's own program.

Where it is refused for what would be lost, it says so, and whether "kubewright apply --force" would do it all the same; with --force here it shows what that would do.

With -o the plan is saved, to be executed by "kubewright apply FILE" as long as the world is as it was.

Exits with 0 if the plan could be made, 1 if something stands in its way: a host that does not answer, something unknown. With --detailed-exitcode it exits with
0 if there is nothing to do, 1 on errors, 2 if there is something to do.`,
		Example: "  kubewright plan\n  kubewright plan prod.yaml --full\n  kubewright plan -o changes.plan && kubewright apply changes.plan\n  kubewright plan --detailed-exitcode --output json\n  kubewright plan --force",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if detailed {
				// 2 says that there is something to do, and nothing else.
				defer func() {
					if err != nil && !errors.As(err, &exitError{}) {
						err = failedError{err}
					}
				}()
			}
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "plan")
			if err != nil {
				return err
			}
			defer w.Close()
			p, err := w.Plan(c.Context())
			if err != nil {
				return err
			}
			w.Close()
			if f.output == "json" {
				err = writeJSON(c.OutOrStdout(), planJSON(p))
			} else {
				err = showPlan(c, p, full)
			}
			if err != nil {
				return err
			}
			n := p.Counts()
			if len(p.Missing) > 0 || n.Unknown > 0 || n.Blocked > 0 || p.Blocked() {
				return errors.New("the plan is not complete; what stands in its way is above")
			}
			if out != "" {
				if err := savePlan(p, w.saved, out); err != nil {
					return err
				}
				force := ""
				if len(p.Overruled()) > 0 {
					force = " --force"
				}
				fmt.Fprintf(c.ErrOrStderr(), "Saved. Execute it with: kubewright apply %s%s\n", out, force)
			}
			if detailed && !p.Empty() {
				return exitError{exitUsage}
			}
			return nil
		},
	}
	f.add(c, "") // -o is the file, as terraform's -out
	c.Flags().StringVarP(&out, "out", "o", "", "save the plan in this file")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if there is something to do")
	c.Flags().BoolVar(&f.force, "force", false, "overrule refusals that say what is lost by that, as \"kubewright apply --force\" would")
	c.Flags().BoolVar(&full, "full", false, "show all lines of files that change")
	return c
}

// planJSON is a plan for programs.
func planJSON(p *plan.Plan) any {
	return struct {
		*plan.Plan
		Counts plan.Counts `json:"counts"`
		Digest string      `json:"digest"`
	}{p, p.Counts(), p.Digest()}
}

func showPlan(c *cobra.Command, p *plan.Plan, full bool) error {
	o := plan.TextOptions{Lines: shownLines}
	if full {
		o.Lines, o.Notes = 0, true
	}
	if file, ok := c.OutOrStdout().(*os.File); ok && os.Getenv("NO_COLOR") == "" {
		o.Color = term.IsTerminal(int(file.Fd()))
	}
	return p.Text(c.OutOrStdout(), o)
}

// savePlan writes a plan for apply, for its owner's eyes: the cluster file may say more than others should know.
func savePlan(p *plan.Plan, s plan.Saved, file string) error {
	s, err := p.Save(s)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(file, append(bytes.TrimSpace(b), '\n'))
}

// errWorldChanged is that a saved plan is not what would be done now.
var errWorldChanged = errors.New("the world is not as it was when the plan was made, so it is not executed; \"kubewright plan\" shows what would be done now")

// checkSaved refuses a plan that is not the one that was saved.
func checkSaved(p *plan.Plan, s *plan.Saved) error {
	if s != nil && p.Digest() != s.Digest {
		return errWorldChanged
	}
	return nil
}

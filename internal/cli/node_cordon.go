package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/plan"
)

// newNodeCordon is the command that cordons, or the one that uncordons.
func newNodeCordon(components Components, file *string, cordoned bool) *cobra.Command {
	f := &clusterFlags{components: components}
	name, is := "cordon", "cordoned"
	c := &cobra.Command{
		Short: "Have no Pods be put on a node",
		Long: `Has no Pods be put on a node any more; those that are on it stay, and so do those of DaemonSets that come. It stays so until somebody uncordons it, also if it is restarted and
whatever is applied.`,
		Args: cobra.ExactArgs(1),
	}
	if !cordoned {
		name, is = "uncordon", "not cordoned"
		c.Short, c.Long = "Have Pods be put on a node again", "Has Pods be put on a node again that was cordoned or drained. What left it does not come back by that: it stays where it is until something moves it."
	}
	c.Use, c.Example = name+" NAME", "  kubewright node "+name+" worker7\n  kubewright node "+name+" worker7 --file prod.yaml"
	c.RunE = func(c *cobra.Command, args []string) error {
		in, err := readInput(c, []string{*file}, false)
		if err != nil {
			return err
		}
		w, err := f.open(c, in, name+" "+args[0]+" of")
		if err != nil {
			return err
		}
		defer w.Close()
		already := ""
		err = unknownNode(w.Cordon(c.Context(), args[0], cordoned, func(p *plan.Plan) error {
			if p.Empty() {
				already = " already"
			}
			return nil
		}))
		w.end(err)
		w.Close()
		if err == nil && f.output == "text" {
			fmt.Fprintf(c.OutOrStdout(), "%s is %s%s.\n", args[0], is, already)
		}
		return err
	}
	f.addOutput(c, "o")
	f.addHosts(c)
	f.addLockTimeout(c)
	return c
}

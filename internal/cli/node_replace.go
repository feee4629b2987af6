package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/clusterfile"
)

func newNodeReplace(components Components, file *string) *cobra.Command {
	e := newNodeEdit(components, file)
	var as string
	c := &cobra.Command{
		Use:   "replace NAME ADDRESS",
		Short: "Put another machine in the place of a host, in the cluster file",
		Long: `Gives a host of the cluster file another address, and with --as another name, and leaves the rest of it as it is, comments included; a range is split. The file is replaced at once, and
only if it is valid then. "kubewright apply" does the rest, or --apply right away.

With --as the new host joins, and the old one leaves the cluster in order, or without being reached if it is dead. Without it the new machine has the name of the old one, which has to be
gone by then: nothing tells it to end.`,
		Example: "  kubewright node replace cp2 10.0.0.14 --as cp4\n  kubewright node replace worker7 10.0.1.37\n  kubewright node replace cp2 10.0.0.14 --as cp4 --apply",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return e.run(c, func(file string, content []byte) ([]byte, error) {
				return clusterfile.Replace(file, content, args[0], args[1], as)
			})
		},
	}
	e.add(c)
	c.Flags().StringVar(&as, "as", "", "another name for it; the host NAME leaves the cluster then")
	return c
}

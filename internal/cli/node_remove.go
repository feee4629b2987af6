package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/clusterfile"
)

func newNodeRemove(components Components, file *string) *cobra.Command {
	e := newNodeEdit(components, file)
	c := &cobra.Command{
		Use:     "remove NAME...",
		Aliases: []string{"rm"},
		Short:   "Take hosts out of the cluster file",
		Long: `Takes hosts out of the cluster file, and leaves the rest of it as it is, comments included; a range is split. The file is replaced at once, and only if it is valid then.
"kubewright apply" has the hosts leave, or --apply right away: their Pods move away, their API servers and members of etcd end in order, they are put back as they were found, and their
nodes go. Hosts that do not answer leave without having been reached.

The number of control planes is odd, so they leave in pairs, or another one takes the place: "kubewright node replace". The last one does not leave.
Half of all hosts, all workers or most control planes at once are refused by apply, unless it is told --force.`,
		Example: "  kubewright node remove worker7\n  kubewright node remove cp4 cp5\n  kubewright node remove worker7 worker8 --apply --yes",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return e.run(c, func(file string, content []byte) ([]byte, error) { return clusterfile.Remove(file, content, args...) })
		},
	}
	e.add(c)
	return c
}

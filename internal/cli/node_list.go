package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/resource"
)

func newNodeList(components Components, file *string) *cobra.Command {
	f := &clusterFlags{components: components}
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show the nodes that the cluster has",
		Long: `Shows the nodes as the API knows them, in order of their names, also those of hosts that the cluster file does not have. It takes no locks and changes nothing. How they are, and what is
wrong, "kubewright status" says.`,
		Example: "  kubewright node list\n  kubewright node list --output json | jq -r '.[] | select(.cordoned) | .name'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			nodes, err := f.nodes(c, *file, "node list")
			if err != nil {
				return err
			}
			return f.answer(c, nodes, true, func(out io.Writer) error { return nodesTable(out, nodes) })
		},
	}
	f.addOutput(c, "o")
	f.addHosts(c)
	return c
}

func nodesTable(out io.Writer, nodes []resource.NodeFound) error {
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLES\tREADY\tCORDONED\tVERSION\tADDRESS")
	for _, n := range nodes {
		address := ""
		if len(n.Addresses) > 0 {
			address = n.Addresses[0]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", n.Name, orDash(strings.Join(n.Roles, ",")), yesOrNo(n.Ready), yesOrNo(n.Cordoned), orDash(n.Kubelet), orDash(address))
	}
	return t.Flush()
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// nodes are those that the cluster has.
func (f *clusterFlags) nodes(c *cobra.Command, file, doing string) ([]resource.NodeFound, error) {
	in, err := readInput(c, []string{file}, false)
	if err != nil {
		return nil, err
	}
	w, err := f.open(c, in, doing)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.Nodes(c.Context())
}

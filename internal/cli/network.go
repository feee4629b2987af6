package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/component/network"
	"github.com/kubewright/kubewright/internal/ui"
)

func newNetwork(components Components) *cobra.Command {
	c := &cobra.Command{
		Use:     "network",
		Short:   "Print the routes to Pods that routers of your own hold",
		Example: "  kubewright network routes\n  kubewright network routes --format frr",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newNetworkRoutes(components))
	return c
}

func newNetworkRoutes(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var file, format string
	c := &cobra.Command{
		Use:   "routes",
		Short: "Print the way to the Pods of each node, as the nodes have it now",
		Long: `Prints a route for each node, from the range of its Pods to its address, as the API knows them. With "network: {plugin: routed}" in the cluster file, routers of yours have to hold
these; with flannel they let others than nodes reach Pods. The routers are those that nodes send by: a node sends what is for Pods of others to its gateway, the router there to the other node.

Put them on your routers as soon as nodes are registered, from another terminal while the first "kubewright apply" waits for CoreDNS, and again when
nodes come or go. A node keeps its range as long as it is a node of the cluster. It takes no locks and changes nothing.

Formats: text, a table; ip, commands for a router that is a Linux machine, to be run there as root; frr, static routes of FRR; bird, protocols of BIRD 2; json.
Nodes that have no range yet are named on standard error, and the exit code is 1.`,
		Example: "  kubewright network routes\n  kubewright network routes --format ip | ssh root@router sh\n  kubewright network routes --format frr > pods.conf\n  kubewright network routes --format json | jq -r '.[].to'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			formats := network.RouteFormats()
			write, known := formats[format]
			if !known {
				return usageError{fmt.Errorf("--format %q: want %s", format, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))}
			}
			nodes, err := f.nodes(c, file, "network routes")
			if err != nil {
				return err
			}
			routes, without := network.Routes(nodes)
			var out strings.Builder
			if err := write(&out, routes); err != nil {
				return err
			}
			if _, err := io.WriteString(c.OutOrStdout(), ui.Printable(out.String())); err != nil {
				return err
			}
			if len(without) > 0 {
				return failedError{fmt.Errorf("some routes are missing: %s; run it again when these nodes are ready", strings.Join(without, "; "))}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&file, "file", "f", clusterFile, "cluster file")
	c.Flags().StringVar(&format, "format", "text", "text, ip, frr, bird or json")
	f.addHosts(c)
	return c
}

package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
)

func newEndpoint() *cobra.Command {
	c := &cobra.Command{
		Use:     "endpoint",
		Short:   "Configure a balancer of your own in front of the API",
		Example: "  kubewright endpoint config --format haproxy",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newEndpointConfig())
	return c
}

// endpointFormats are the balancers that configurations are printed for.
func endpointFormats() map[string]func(*cluster.Cluster) string {
	return map[string]func(*cluster.Cluster) string{"haproxy": loadbalancer.ExternalHAProxy, "nginx": loadbalancer.ExternalNginx}
}

func newEndpointConfig() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "config [FILE]",
		Short: "Print a configuration for a balancer of your own: HAProxy or nginx",
		Long: `Prints a ready configuration for HAProxy or nginx in front of the control planes of a cluster file, cluster.yaml by default. It listens at endpoint.port, leads to the API servers at the addresses that
other hosts reach them by, and leaves TLS to them and their clients. It looks at the file alone and touches nothing: configure your balancer before the first "kubewright apply", and again when
control planes come or go.

HAProxy asks each API server for /readyz, and ends connections to one that is found dead. The configuration is a whole one, for HAProxy 2.2 or newer. That for nginx is for its module stream, and goes
beside "http" in nginx.conf; nginx only notices when a server takes no connections.

In the cluster file, "endpoint: {kind: external, address: …}" says where the balancer is.`,
		Example: "  kubewright endpoint config > /etc/haproxy/haproxy.cfg\n  kubewright endpoint config prod.yaml --format nginx",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			print, known := endpointFormats()[format]
			if !known {
				return usageError{fmt.Errorf("--format %q: want %s", format, strings.Join(slices.Sorted(maps.Keys(endpointFormats())), " or "))}
			}
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			spec, err := v1alpha1.Parse(in.name, in.content)
			if err != nil {
				return err
			}
			// What the file names besides, passwords among it, is of no concern here.
			_, err = io.WriteString(c.OutOrStdout(), print(&cluster.Cluster{Cluster: spec}))
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "haproxy", "haproxy or nginx")
	return c
}

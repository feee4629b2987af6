package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// minJoinTTL is the shortest time that a token may be good for: nobody joins in less.
const minJoinTTL = time.Minute

func newJoinCommand(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "join-command [FILE]",
		Short: "Say how a machine joins by kubeadm, with a new token",
		Long: `Has the cluster know a new token, for a limited time, and prints the line of kubeadm by which a machine joins as a worker that Kubewright knows nothing of. FILE is the cluster file,
cluster.yaml by default. Hosts of the cluster file need none of this: apply joins them.

On standard output stands that line alone. What it needs before is on standard error: a line in its /etc/hosts, unless name servers know the endpoint. Further needs, and what is not done for
such a machine, stand in docs/operating.md.

Until it ends, whoever has the token can have a certificate in the name of any node. "kubeadm token list" on a control plane shows which there are, and "kubeadm token delete" takes one away. The token is
written into no log and no record here.`,
		Example: "  kubewright join-command\n  kubewright join-command prod.yaml --ttl 10m\n  kubewright join-command --output json | jq -r .hosts",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if ttl < minJoinTTL {
				return usageError{fmt.Errorf("--ttl %s: want at least %s", ttl, minJoinTTL)}
			}
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "join-command")
			if err != nil {
				return err
			}
			defer w.Close()
			j, err := w.Join(c.Context(), ttl)
			if err != nil {
				return fmt.Errorf("a token to join with cannot be had: %w", err)
			}
			w.Close()
			if f.output == "text" {
				if j.Hosts != "" {
					fmt.Fprintf(c.ErrOrStderr(), "# The machine needs this line in its /etc/hosts before:\n# %s\n", j.Hosts)
				}
				fmt.Fprintf(c.ErrOrStderr(), "# The token ends at %s.\n", j.Until.Format(time.RFC3339))
			}
			return f.answer(c, j, true, func(out io.Writer) error {
				_, err := fmt.Fprintln(out, j.Command)
				return err
			})
		},
	}
	f.addOutput(c, "o")
	f.addHosts(c)
	c.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long the token is good for; at least 1m")
	return c
}

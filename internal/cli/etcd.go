package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/ui"
)

func newEtcd(components Components) *cobra.Command {
	c := &cobra.Command{
		Use:     "etcd",
		Short:   "Recover etcd when most of its members are lost for good",
		Example: "  kubewright etcd recover --from cp1",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newEtcdRecover(components))
	return c
}

func newEtcdRecover(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var consent typedName
	var file, from string
	var events bool
	c := &cobra.Command{
		Use:   "recover --from HOST",
		Short: "Make the data of one member the cluster's, when the others are lost for good",
		Long: `For when etcd has no quorum, and never will: most of its members are gone with their data. The member on HOST becomes a cluster of itself, with what it has. Writes are lost that only
other members had. On all other hosts that answer, etcd ends, and its data is set aside, never deleted: it lies beside as member.aside-TIME.

It is refused while any member answers that has a quorum, and of a host that has no data of a member. Hosts that do not answer must not come back as they are: with what they have they could
make a second cluster. Have them installed anew, or put back as they were found, or take them out of the cluster file.

It asks for the name of the cluster before. In scripts, --yes and --cluster NAME say the same. After it, the API answers again, and "kubewright apply" has the other members come anew, one
after the other. With --events all of it is about the etcd for events alone. An interrupt (Ctrl-C) is heard before the member has begun to be alone, or when it runs as always again. A recovery that was cut off goes on when it is run again.`,
		Example: "  kubewright etcd recover --from cp1\n  kubewright etcd recover --from cp1 --file prod.yaml --yes --cluster prod",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := consent.check(c, f.output); err != nil {
				return err
			}
			in, err := readInput(c, []string{file}, false)
			if err != nil {
				return err
			}
			start := time.Now()
			w, err := f.open(c, in, "recover etcd of")
			if err != nil {
				return err
			}
			defer w.Close()
			if err := consent.fits(file, w.cluster.Name); err != nil {
				w.end(err)
				return err
			}
			of := facts.MainEtcd
			if events {
				of = facts.EventsEtcd
			}
			var silent []string
			err = w.RecoverEtcd(c.Context(), w.bundle, of, from, func(r converge.EtcdRecovery) error {
				silent = r.Silent
				w.view.Pause()
				defer w.view.Resume()
				if f.output == "text" {
					if err := showRecovery(c.OutOrStdout(), r); err != nil {
						return err
					}
				}
				return consent.ask(c, w.cluster.Name)
			})
			w.end(err)
			w.Close()
			if err == nil && f.output == "text" {
				next := "The others come anew with"
				if len(silent) > 0 {
					next = "When " + strings.Join(silent, ", ") + " were installed anew, or are no more in the cluster file, the others come with"
				}
				apply := "kubewright apply" + unlessDefault(file)
				fmt.Fprintf(c.OutOrStdout(), "%s on %s is a cluster of one member, in %s; API servers come back by themselves. %s\n\n  %s\n", of, from, ui.Seconds(time.Since(start)), next, apply)
			}
			return err
		},
	}
	f.add(c, "o")
	f.addLockTimeout(c)
	c.Flags().StringVarP(&file, "file", "f", clusterFile, "cluster file")
	c.Flags().StringVar(&from, "from", "", "the host whose member has the data that is to be the cluster's")
	c.Flags().BoolVar(&events, "events", false, "recover the etcd for events (etcd.events), not the main one")
	c.Flags().BoolVarP(&consent.yes, "yes", "y", false, "do not ask; wants --cluster")
	c.Flags().StringVar(&consent.name, "cluster", "", "name of the cluster, with --yes")
	_ = c.MarkFlagRequired("from") // the flag is there
	return c
}

// showRecovery says what is done, and what is lost by it.
func showRecovery(out io.Writer, r converge.EtcdRecovery) error {
	var b strings.Builder
	if r.Again {
		fmt.Fprintf(&b, "The member of etcd on %s is a cluster of itself already; this ends a recovery that was cut off.\n", r.Host)
	} else {
		fmt.Fprintf(&b, "The data of the member of etcd on %s becomes the cluster's, and writes are lost that only other members had.\n", r.Host)
	}
	if len(r.Ends) > 0 {
		fmt.Fprintf(&b, "On %s etcd ends, and what it has is set aside, not deleted.\n", strings.Join(r.Ends, ", "))
	}
	if len(r.Silent) > 0 {
		fmt.Fprintf(&b, "No answer from %s: must not come back as before, for with what is there, that could be a second cluster. Install anew, or take out of the cluster file.\n", strings.Join(r.Silent, ", "))
	}
	_, err := io.WriteString(out, ui.Printable(b.String()))
	return err
}

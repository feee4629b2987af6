package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/ui"
)

func newReset(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var yes, all, forget bool
	var file string
	c := &cobra.Command{
		Use:   "reset HOST... | --all | --forget HOST...",
		Short: "Put hosts back as they were found",
		Long: `Takes away all that Kubewright put on hosts, last things first, and puts back what was there before: files, units, packages, kernel parameters, swap.
What the cluster's containers and images stored on them is lost. A host that left the cluster file is forgotten after it.

Only hosts of the file's own cluster are reset. A host that left the file and is gone for good can be forgotten with --forget: it is not reached, what may be on it
stays there, and plans mention it no more.

The first interrupt (Ctrl-C) finishes what is in hand on the hosts and stops; a second one cuts.`,
		Example: "  kubewright reset worker7\n  kubewright reset --all --file prod.yaml\n  kubewright reset --forget worker9",
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usageError{errors.New("name hosts, or say --all")}
			}
			if all && forget {
				return usageError{errors.New("--forget wants the names of hosts")}
			}
			in, err := readInput(c, []string{file}, false)
			if err != nil {
				return err
			}
			if !yes {
				if err := mayAsk(c, f.output); err != nil {
					return err
				}
			}
			start := time.Now()
			w, err := f.open(c, in, "reset")
			if err != nil {
				return err
			}
			defer w.Close()
			names := args
			if all {
				names = w.Known()
			}
			err = reset(c, w, names, forget, !yes)
			w.end(err)
			w.Close()
			if err == nil && f.output == "text" {
				done := "as found"
				if forget {
					done = "forgotten"
				}
				fmt.Fprintf(c.OutOrStdout(), "%s %s, in %s.\n", count(len(names), "host"), done, ui.Seconds(time.Since(start)))
			}
			return err
		},
	}
	f.add(c, "o")
	f.addLockTimeout(c)
	c.Flags().BoolVar(&forget, "forget", false, "do not reach the hosts, which left the cluster file and are gone for good; only remember them no longer")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&all, "all", false, "all hosts, also those that left the cluster file")
	c.Flags().StringVarP(&file, "file", "f", clusterFile, "cluster file")
	return c
}

// reset resets or forgets hosts, after asking.
func reset(c *cobra.Command, w *work, names []string, forget, asks bool) error {
	known := w.Known()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return usageError{fmt.Errorf("there is no host %s, neither in the cluster file nor among those that left it", name)}
		}
	}
	all, hosts := strings.Join(names, ", "), count(len(names), "host")
	question := fmt.Sprintf("Take everything that Kubewright put there away from %s? Containers and images on %s are lost.", all, hosts)
	if forget {
		question = fmt.Sprintf("Forget %s? What Kubewright put on %s stays there, can be taken back by no reset of this cluster, and plans mention it no more.", all, hosts)
	}
	if asks {
		w.view.Pause()
		err := ask(c, question, converge.ErrDeclined)
		w.view.Resume()
		if err != nil {
			return err
		}
	}
	if forget {
		return w.Forget(c.Context(), names)
	}
	return w.Reset(c.Context(), names)
}

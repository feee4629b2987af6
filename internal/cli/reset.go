package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/ui"
)

func newReset() *cobra.Command {
	f := &clusterFlags{}
	var yes, all bool
	var file string
	c := &cobra.Command{
		Use:   "reset HOST... | --all",
		Short: "Put hosts back as they were found",
		Long: `Takes away all that Kubewright put on hosts, last things first, and puts back what was there before: files, units, packages, kernel parameters, swap.
What the cluster's containers and images stored on them is lost. A host that left the cluster file is forgotten after it.`,
		Example: "  kubewright reset worker7\n  kubewright reset --all --file prod.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usageError{errors.New("name hosts, or say --all")}
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
			known := w.Known()
			names := args
			if all {
				names = known
			}
			for _, name := range names {
				if !slices.Contains(known, name) {
					return usageError{fmt.Errorf("there is no host %s, neither in the cluster file nor among those that left it", name)}
				}
			}
			if !yes {
				w.view.Pause()
				err := ask(c, fmt.Sprintf("Take everything that Kubewright put there away from %s? Containers and images on %s are lost.", strings.Join(names, ", "), count(len(names), "host")), errors.New("nothing was changed"))
				w.view.Resume()
				if err != nil {
					return err
				}
			}
			err = w.Reset(c.Context(), names)
			w.end(err)
			w.Close()
			if err == nil && f.output == "text" {
				fmt.Fprintf(c.OutOrStdout(), "%s as found, in %s.\n", count(len(names), "host"), ui.Seconds(time.Since(start)))
			}
			return err
		},
	}
	f.add(c, "o")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&all, "all", false, "all hosts, also those that left the cluster file")
	c.Flags().StringVarP(&file, "file", "f", clusterFile, "cluster file")
	return c
}

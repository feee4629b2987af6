package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle"
)

func newBundleList(f *bundleFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show which bundles the store holds",
		Example: "  kubewright bundle list\n  kubewright bundle list --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			list, damaged := store.List(c.Context())
			if f.output == "json" {
				if list == nil {
					list = []*bundle.Bundle{}
				}
				if err := writeJSON(c.OutOrStdout(), list); err != nil {
					return err
				}
				return damaged
			}
			if len(list) == 0 && damaged == nil {
				fmt.Fprintf(c.ErrOrStderr(), "The store %s holds no bundles: make one with \"kubewright bundle build\" or fetch one with \"kubewright bundle import\".\n", store.Dir())
				return nil
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, "KUBERNETES\tPLATFORM\tPARTS\tSIZE\tBUILT WITH\tDIGEST")
			for _, b := range list {
				fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", b.Kubernetes, b.Platform, len(b.Parts), size(b.Size), b.Toolchain, b.Digest[:len("sha256:")+12])
			}
			if err := t.Flush(); err != nil {
				return err
			}
			return damaged
		},
	}
}

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newBundleVerify(f *bundleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare everything in the store with its digest",
		Long: `Reads every blob of every bundle and compares it with its digest. Each one that is missing or damaged is named, with what cannot be used
because of it. Exits with 1 if there are any. It changes nothing; "bundle build" and "bundle import" mend what they find damaged.`,
		Example: "  kubewright bundle verify",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			line := newStatusLine(c.ErrOrStderr())
			v, err := store.Verify(c.Context(), func(bytes int64) {
				line.set(func() string { return "verifying, " + size(bytes) })
			})
			line.end()
			if err != nil {
				return err
			}
			if f.output == "json" {
				if err := writeJSON(c.OutOrStdout(), v); err != nil {
					return err
				}
			} else {
				for _, fault := range v.Faults {
					fmt.Fprintln(c.OutOrStdout(), fault)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s, %d blobs, %s: %d missing or damaged\n", count(len(v.Bundles), "bundle"), v.Blobs, size(v.Bytes), len(v.Faults))
			}
			if len(v.Faults) > 0 {
				return fmt.Errorf("%s of the store %s missing or damaged: build or import the bundles again, which mends them", count(len(v.Faults), "blob"), store.Dir())
			}
			return nil
		},
	}
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

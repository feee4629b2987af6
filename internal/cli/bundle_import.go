package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func newBundleImport(f *bundleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Add the bundles of a file to the store",
		Long: `Adds the bundles of a file that "bundle export" wrote. Everything is compared with its digest before it gets its place, and the bundles
appear when all that they need is there. After an interruption, import it again: what is there already is not written again.`,
		Example: "  kubewright bundle import kubewright-v1.37.1-linux-amd64.tar.zst\n  curl -sf https://files.example/v1.37.1.tar.zst | kubewright bundle import -",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			var r io.Reader = c.InOrStdin()
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer file.Close()
				r = file
			}
			line := newStatusLine(c.ErrOrStderr())
			added, err := store.Import(c.Context(), r, func(bytes int64) {
				line.set(func() string { return "importing, " + size(bytes) })
			})
			line.end()
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(c.OutOrStdout(), added)
			}
			for _, b := range added {
				fmt.Fprintf(c.OutOrStdout(), "Kubernetes %s: %d parts, %s\n", b.Name(), len(b.Parts), size(b.Size))
			}
			return nil
		},
	}
}

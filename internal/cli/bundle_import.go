package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle"
)

func newBundleImport(f *bundleFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Add the bundles of a file to the store",
		Long: `Adds the bundles of a file that "bundle export" wrote. Everything is compared with its digest before it gets its place, and the bundles
appear when all that they need is there. After an interruption, import it again: what is there already is not written again.

It prints the digest of each bundle, which is the one that "bundle export" printed if nobody changed the file on its way.`,
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
			before, err := store.List(c.Context())
			if err != nil {
				fmt.Fprintln(c.ErrOrStderr(), err) // importing may mend it
			}
			line := newStatusLine(c.ErrOrStderr())
			added, err := store.Import(c.Context(), r, func(bytes int64) {
				line.set(func() string { return "importing, " + size(bytes) })
			})
			line.end()
			if err != nil {
				return bundle.ExplainRoom(err, "", bundle.Place{What: "the store", Dir: store.Dir(), Elsewhere: "--store"})
			}
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), added)
			}
			for _, b := range added {
				fmt.Fprintf(c.OutOrStdout(), "Kubernetes %s: %d parts, %s, %s\n", b.Name(), len(b.Parts), size(b.Size), b.Digest)
				for _, old := range before {
					if old.Name() == b.Name() && old.Digest != b.Digest {
						fmt.Fprintf(c.OutOrStdout(), "  in place of %s\n", old.Digest)
					}
				}
			}
			return nil
		},
	}
}

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubewright/kubewright/internal/bundle"
)

func newBundleExport(f *bundleFlags) *cobra.Command {
	var platform, file string
	c := &cobra.Command{
		Use:   "export [VERSION…]",
		Short: "Write bundles to one file, to carry to another site",
		Long: `Writes bundles to one file: an OCI image layout as a tar archive, compressed with zstd. "bundle import" reads it; so do "ctr image
import" and others. Without a version it is the newest bundle of the store. What several bundles share is in the file once.

The file appears when it is complete.`,
		Example: `  kubewright bundle export v1.37.1
  kubewright bundle export v1.36.4 v1.37.1 --file upgrade.tar.zst
  kubewright bundle export v1.37.1 --file - | ssh site kubewright bundle import -`,
		RunE: func(c *cobra.Command, versions []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			var bundles []*bundle.Bundle
			if len(versions) == 0 {
				versions = []string{""}
			}
			for _, v := range versions {
				var names []string
				if v != "" {
					names = []string{v}
				}
				b, err := findBundle(c.Context(), store, names, platform)
				if err != nil {
					return err
				}
				bundles = append(bundles, b)
			}
			if file == "" {
				file = "kubewright-" + bundles[0].Kubernetes + "-" + strings.ReplaceAll(bundles[0].Platform, "/", "-") + ".tar.zst"
			}
			line := newStatusLine(c.ErrOrStderr())
			written, err := exportTo(file, c.OutOrStdout(), func(w io.Writer) error {
				return store.Export(c.Context(), w, bundles, func(bytes, total int64) {
					line.set(func() string { return fmt.Sprintf("exporting, %s of %s", size(bytes), size(total)) })
				})
			})
			line.end()
			if err != nil {
				return bundle.ExplainRoom(err, "", bundle.Place{What: "the file", Dir: filepath.Dir(file), Elsewhere: "--file"})
			}
			if file == "-" {
				return nil
			}
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), map[string]any{"file": file, "bytes": written, "bundles": bundles})
			}
			for _, b := range bundles {
				fmt.Fprintf(c.OutOrStdout(), "Kubernetes %s: %s\n", b.Name(), b.Digest)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", file, size(written))
			return err
		},
	}
	platformFlag(c, &platform)
	c.Flags().StringVar(&file, "file", "", "file to write, - for standard output (default kubewright-VERSION-PLATFORM.tar.zst)")
	return c
}

// exportTo lets write fill a file, which appears when it is complete, and returns its size in bytes; - is standard output.
func exportTo(file string, stdout io.Writer, write func(io.Writer) error) (int64, error) {
	if file == "-" {
		if out, ok := stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
			return 0, usageError{errors.New("standard output is a terminal: redirect it, or name a file with --file")}
		}
		return 0, write(stdout)
	}
	pending, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o644))
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	defer func() { _ = pending.Cleanup() }()
	if err := write(pending); err != nil {
		return 0, err
	}
	info, err := pending.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), pending.CloseAtomicallyReplace()
}

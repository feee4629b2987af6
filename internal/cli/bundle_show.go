package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle"
)

func newBundleShow(f *bundleFlags) *cobra.Command {
	var platform string
	var packages bool
	c := &cobra.Command{
		Use:   "show [VERSION]",
		Short: "Show what is in a bundle",
		Long: `Shows each part of a bundle: images, programs for hosts, and packages for hosts, with versions, sizes, licences and where they
come from. Without a version it is the newest bundle of the store. With --output json it shows every blob and why each version was chosen.`,
		Example: "  kubewright bundle show v1.37.1\n  kubewright bundle show v1.37.1 --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			b, err := findBundle(c.Context(), store, args, platform)
			if err != nil {
				return err
			}
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), b)
			}
			return showBundle(c.OutOrStdout(), b, packages)
		},
	}
	platformFlag(c, &platform)
	c.Flags().BoolVar(&packages, "packages", false, "list the packages, too")
	return c
}

// findBundle finds the bundle that is named, or the newest.
func findBundle(ctx context.Context, store *bundle.Store, args []string, platform string) (*bundle.Bundle, error) {
	if len(args) > 0 {
		return store.Find(ctx, version(args[0]), platform)
	}
	list, err := store.List(ctx)
	if err != nil {
		return nil, err // or an older one would be taken for the newest
	}
	for _, b := range list {
		if platform == "" || b.Platform == platform {
			return store.Find(ctx, b.Kubernetes, platform)
		}
	}
	return nil, bundle.NotFoundError{Kubernetes: "of any version", Platform: platform, Dir: store.Dir()}
}

func showBundle(w io.Writer, b *bundle.Bundle, packages bool) error {
	fmt.Fprintf(w, "Kubernetes %s, %s, built with %s\n%s\n", b.Name(), size(b.Size), b.Toolchain, b.Digest)
	var images, programs, repositories [][]string
	for _, p := range b.Parts {
		var bytes int64
		for _, blob := range p.Blobs {
			bytes += blob.Size
		}
		switch p.Kind {
		case bundle.Image:
			name := p.Name
			if p.Test {
				name += " (for tests)"
			}
			images = append(images, []string{name, p.Version, size(bytes), p.Licences, p.Source})
		case bundle.Programs:
			for _, blob := range p.Blobs {
				programs = append(programs, []string{blob.Title, blob.Version, size(blob.Size), blob.Licences, blob.Source, strings.Join(blob.Commands, " ")})
			}
		case bundle.Packages:
			repositories = append(repositories, []string{p.Name, fmt.Sprint(len(p.Blobs) - 1), size(bytes), p.Source, p.Choice})
			for _, blob := range p.Blobs {
				if packages && blob.MediaType != bundle.RepositoryLayer {
					repositories = append(repositories, []string{"  " + blob.Title, blob.Version, size(blob.Size), blob.Source, blob.Licences})
				}
			}
		}
	}
	if err := table(w, "IMAGE VERSION SIZE LICENCE SOURCE", images); err != nil {
		return err
	}
	if err := table(w, "PROGRAM VERSION SIZE LICENCE SOURCE CALLED-AS", programs); err != nil {
		return err
	}
	if err := table(w, "REPOSITORY PACKAGES SIZE SOURCE VERSIONS", repositories); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nParts share what is equal, so sizes add up to more than the bundle's. --packages lists packages, --output json everything.")
	return err
}

// table prints rows under a header of words.
func table(w io.Writer, header string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\n"+strings.ReplaceAll(strings.ReplaceAll(header, " ", "\t"), "-", " "))
	for _, r := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	return t.Flush()
}

package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle"
)

func newBundlePrune(f *bundleFlags) *cobra.Command {
	var platform string
	var yes, dryRun bool
	c := &cobra.Command{
		Use:   "prune [VERSION…]",
		Short: "Remove what no bundle needs, and bundles that are named",
		Long: `Removes from the store what no bundle needs: parts of bundles that were replaced, finished parts of builds that were never completed,
and what interrupted commands left. Bundles that are named go, too, with all that no other bundle needs.

It shows what it would remove, and asks. It waits until no other command adds to the store.`,
		Example: "  kubewright bundle prune\n  kubewright bundle prune v1.36.4\n  kubewright bundle prune --dry-run",
		RunE: func(c *cobra.Command, versions []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			var drop []bundle.BundleID
			for _, v := range versions {
				drop = append(drop, bundle.BundleID{Kubernetes: version(v), Platform: platform})
			}
			found, err := store.Unneeded(drop...)
			if err != nil {
				return err
			}
			if dryRun || found.Empty() {
				return f.showUnneeded(c.OutOrStdout(), found, "would be removed")
			}
			if !yes {
				if err := f.showUnneeded(c.ErrOrStderr(), found, "will be removed"); err != nil {
					return err
				}
				err := ask(c, "Remove it?", errors.New("nothing was removed"))
				if errors.Is(err, errNobody) {
					return usageError{fmt.Errorf("%w: say --yes, or --dry-run to see what it would do", err)}
				}
				if err != nil {
					return err
				}
			}
			removed, err := store.Prune(c.Context(), found)
			if err != nil {
				return err
			}
			return f.showUnneeded(c.OutOrStdout(), removed, "removed")
		},
	}
	platformFlag(c, &platform)
	c.Flags().BoolVar(&yes, "yes", false, "remove without asking")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be removed, and stop")
	return c
}

func (f *bundleFlags) showUnneeded(w io.Writer, u *bundle.Unneeded, what string) error {
	if f.output == "json" {
		return writeJSON(w, u)
	}
	if u.Empty() {
		_, err := fmt.Fprintln(w, "All that is in the store is needed.")
		return err
	}
	for _, b := range u.Bundles {
		fmt.Fprintf(w, "the bundle %s\n", b)
	}
	for _, n := range u.Notes {
		fmt.Fprintf(w, "built, but in no bundle that stays: %s\n", n)
	}
	if u.Left > 0 {
		fmt.Fprintf(w, "left by interrupted commands: %s\n", count(u.Left, "file"))
	}
	_, err := fmt.Fprintf(w, "%s; %s %s\n", count(u.Blobs, "blob"), size(u.Bytes), what)
	return err
}

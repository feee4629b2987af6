package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle"
)

func newBundleUnpack(f *bundleFlags) *cobra.Command {
	var platform string
	c := &cobra.Command{
		Use:   "unpack VERSION programs|packages DIR",
		Short: "Put programs or packages of a bundle below a directory",
		Long: `Puts the programs for hosts below a directory that stands for a host's root directory, or the packages as a repository that a host's
package manager can use by itself (see var/lib/kubewright/packages/apt.conf below it). Clusters don't need it; it is for looking inside
and for what Kubewright does not manage. For images, use any program that reads OCI image layouts.`,
		Example: `  kubewright bundle unpack v1.37.1 programs /tmp/root && /tmp/root/usr/local/bin/kubectl version --client
  kubewright bundle unpack v1.37.1 packages /`,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			kind := bundle.Kind(args[1])
			if kind != bundle.Programs && kind != bundle.Packages {
				return usageError{fmt.Errorf("%q: want programs or packages", args[1])}
			}
			b, err := store.Find(c.Context(), version(args[0]), platform)
			if err != nil {
				return err
			}
			return store.Unpack(c.Context(), b, kind, args[2])
		},
	}
	platformFlag(c, &platform)
	return c
}

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle"
)

// bundleFlags are common to all commands on bundles.
type bundleFlags struct {
	store, output string
}

func newBundle() *cobra.Command {
	f := &bundleFlags{}
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Make, show and carry the software that runs on nodes",
		Long: `A bundle is all software of nodes for one version of Kubernetes and one platform: container images, programs for hosts,
and packages of the hosts' distribution. Clusters are built from bundles alone, so nodes need no internet.

Bundles are kept in a store, a directory in the OCI image layout, which skopeo and others read, too.
By default it is $XDG_DATA_HOME/kubewright/bundles, or ~/.local/share/kubewright/bundles.`,
		Example: `  kubewright bundle build                          # the newest Kubernetes, from upstream's source
  kubewright bundle list
  kubewright bundle show v1.37.1
  kubewright bundle verify
  kubewright bundle export v1.37.1 --file v1.37.1.tar.zst
  kubewright bundle import v1.37.1.tar.zst         # on a computer without internet
  skopeo inspect oci:$HOME/.local/share/kubewright/bundles:registry.k8s.io/kube-apiserver:v1.37.1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if f.output != "text" && f.output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", f.output)}
			}
			return nil
		},
	}
	p := c.PersistentFlags()
	p.StringVar(&f.store, "store", defaultStore(), "directory that holds the bundles")
	p.StringVarP(&f.output, "output", "o", "text", "text, or json on standard output")
	c.AddCommand(newBundleBuild(f), newBundleList(f), newBundleShow(f), newBundleVerify(f), newBundleExport(f), newBundleImport(f), newBundlePrune(f), newBundleUnpack(f))
	return c
}

// defaultStore is where the XDG Base Directory Specification has a user's data.
func defaultStore() string {
	data := os.Getenv("XDG_DATA_HOME")
	if home, err := os.UserHomeDir(); data == "" && err == nil {
		data = filepath.Join(home, ".local", "share")
	}
	if data == "" {
		data = "/var/lib"
	}
	return filepath.Join(data, "kubewright", "bundles")
}

// storeFlag is what a suggested command needs to reach the same store.
func (f *bundleFlags) storeFlag() string {
	if f.store == defaultStore() {
		return ""
	}
	return " --store " + f.store
}

func (f *bundleFlags) open(c *cobra.Command) (*bundle.Store, error) {
	s, err := bundle.Open(f.store)
	if err != nil {
		return nil, err
	}
	s.Notice = func(message string) { fmt.Fprintln(c.ErrOrStderr(), message) }
	return s, nil
}

// platformFlag adds the flag that tells bundles of one version apart.
func platformFlag(c *cobra.Command, platform *string) {
	c.Flags().StringVar(platform, "platform", "", "platform of the bundle, where there are several")
}

// version accepts a version of Kubernetes with and without the v.
func version(s string) string {
	if s == "" || strings.HasPrefix(s, "v") {
		return s
	}
	return "v" + s
}

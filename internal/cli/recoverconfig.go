package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/draft"
)

func newRecoverConfig() *cobra.Command {
	f := &clusterFlags{}
	var from, key, out string
	c := &cobra.Command{
		Use:   "recover-config --from [USER@]HOST[:PORT]",
		Short: "Have the cluster file again, from a control plane",
		Long: `Writes the cluster file that was applied last, byte by byte, with its comments. Every apply leaves it on the control planes: one of them that answers by SSH is enough, when the
computer is lost on which the file was. "kubewright plan" on it finds nothing, if nothing was changed since. A file that is there is not touched. - writes to standard output.

Files that the cluster file names are not in it: keys, authorities and passwords of registries, files of yours. Those that are not here are named, and where hosts have what was in
them. Paths in the cluster file are relative to where it lies.

Nothing is changed on the host.`,
		Example: "  kubewright recover-config --from admin@10.0.0.11\n  kubewright recover-config --from root@cp2.example.com:2222 --key ~/.ssh/rescue -o prod.yaml\n  kubewright plan",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			host, text, err := fileOfOne(from, key)
			if err != nil {
				return usageError{fmt.Errorf("--from %q: %w", from, err)}
			}
			if _, err := os.Lstat(out); out != "-" && err == nil {
				return thereAlready(out) // before the host is troubled
			}
			w, err := f.open(c, input{name: "--from", content: []byte(text)}, "recover the file of")
			if err != nil {
				return err
			}
			defer w.Close()
			r, err := w.Remembered(c.Context(), host)
			if err != nil {
				return err
			}
			w.Close()
			return writeRecovered(c, r, out)
		},
	}
	c.Flags().StringVar(&from, "from", "", "a control plane that answers by SSH: [USER@]HOST[:PORT]")
	c.Flags().StringVar(&key, "key", "", "file of the private key to log in with; what ~/.ssh/config and ssh-agent say by default. It does not come into the file")
	c.Flags().StringVarP(&out, "out", "o", clusterFile, "where to write it; - is standard output")
	_ = c.MarkFlagRequired("from") // the flag is there
	f.addHosts(c)
	return c
}

// fileOfOne is a cluster file of the host alone that is to be asked, and the name that it has there.
func fileOfOne(from, key string) (host, text string, err error) {
	user, where := "", from
	if at := strings.LastIndex(from, "@"); at >= 0 {
		user, where = from[:at], from[at+1:]
		if user == "" {
			return "", "", errors.New("want [USER@]HOST[:PORT]")
		}
	}
	address, port := where, 0
	if h, p, err := net.SplitHostPort(where); err == nil {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return "", "", fmt.Errorf("there is no port %s", p)
		}
		address = h
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if address == "" {
		return "", "", errors.New("want [USER@]HOST[:PORT]")
	}
	if host = address; !draft.IsName(host) {
		host = "control-plane" // an address with colons is no name
	}
	ssh := map[string]any{}
	if user != "" {
		ssh["user"] = user
	}
	if port != 0 {
		ssh["port"] = port
	}
	if key != "" {
		ssh["key"] = key
	}
	spec := map[string]any{"apiVersion": v1alpha1.APIVersion, "kind": v1alpha1.Kind, "name": "cluster",
		"hosts": []any{map[string]any{"name": host, "address": address, "roles": []string{string(v1alpha1.ControlPlane)}, "ssh": ssh}}}
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() { // ranges are never used, and have to be of the family
		spec["network"] = map[string]any{"podRanges": []string{"fd00:1::/56"}, "serviceRanges": []string{"fd00:2::/112"}}
	}
	content, err := json.Marshal(spec)
	if err != nil {
		return "", "", err
	}
	if _, err := v1alpha1.Parse("--from", content); err != nil {
		return "", "", errors.New("want [USER@]HOST[:PORT], with an address or a name of a host")
	}
	return host, string(content), nil
}

// writeRecovered writes the file, and says what is to be known about it.
func writeRecovered(c *cobra.Command, r converge.Remembered, out string) error {
	if out == "-" {
		if _, err := c.OutOrStdout().Write(r.File); err != nil {
			return err
		}
	} else if err := writeNew(out, r.File); err != nil {
		return err
	}
	spec, err := v1alpha1.Parse(out, r.File)
	if err != nil {
		return fmt.Errorf("the file is written as it was applied last, and this version of Kubewright does not read it:\n%w", err)
	}
	if err := warnOfRecovered(c.ErrOrStderr(), spec, r, filepath.Dir(out)); err != nil {
		return err
	}
	if out == "-" {
		return nil
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: cluster %s, %s, as it was applied last. Whether all is as it says, says\n\n  kubewright plan%s\n", out, spec.Name, count(len(spec.Hosts), "host"), unlessDefault(out))
	return err
}

// warnOfRecovered says which hosts are not as the file has them, and which files it names that are not here.
func warnOfRecovered(say io.Writer, spec *v1alpha1.Cluster, r converge.Remembered, dir string) error {
	for _, d := range converge.Differences(spec, r.Inventory) {
		if _, err := fmt.Fprintf(say, "Warning: %s\n", d); err != nil {
			return err
		}
	}
	for _, n := range converge.NamedFiles(spec) {
		if _, err := os.Stat(cluster.Resolve(dir, n.Path)); err == nil {
			continue
		}
		if _, err := fmt.Fprintf(say, "Warning: %s names %s, which is not here: %s\n", n.Field, n.Path, n.Lost); err != nil {
			return err
		}
	}
	return nil
}

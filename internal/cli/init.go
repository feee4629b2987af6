package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/draft"
	"github.com/kubewright/kubewright/internal/machines"
)

func newInit() *cobra.Command {
	var in draft.Input
	var hosts []string
	var fromMachines bool
	local := &machinesFlags{cacheDir: machines.DefaultCacheDir}
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first cluster file",
		Long: `Writes a cluster file, cluster.yaml by default, of the hosts that are named, as addresses or as name=address: short, with a word on what may want to be
changed. Three of the hosts become control planes if there are as many, and with fewer than four hosts these carry what you run, too. A file that is there
is not touched. - writes to standard output.

With --full all other fields are in the file, too, as comments with what they do and what they are by default. With --from-machines the hosts are local
machines ("kubewright machines"), with the key that opens them.`,
		Example: "  kubewright init --hosts 10.0.0.11,10.0.0.12,10.0.0.13,10.0.0.21\n  kubewright init --name prod --user admin --hosts cp1=10.0.0.11 --hosts w1=10.0.0.21 --full\n" +
			"  kubewright init --from-machines && kubewright apply",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := "cluster.yaml"
			if len(args) > 0 {
				file = args[0]
			}
			if fromMachines == (len(hosts) > 0) {
				return usageError{errors.New("say the hosts, with --hosts or with --from-machines")}
			}
			if fromMachines {
				if err := machinesOf(c, local, &in); err != nil {
					return err
				}
			}
			for _, h := range hosts {
				name, address, named := strings.Cut(strings.TrimSpace(h), "=")
				if !named {
					name, address = "", name
				}
				in.Hosts = append(in.Hosts, draft.Host{Name: name, Address: address})
			}
			text, err := draft.File(in)
			if err != nil {
				return usageError{fmt.Errorf("this would be no cluster file:\n%w", err)}
			}
			if file == "-" {
				_, err := c.OutOrStdout().Write([]byte(text))
				return err
			}
			if err := writeNew(file, []byte(text)); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: cluster %s, %s. What would be done says\n\n  kubewright plan%s\n", file, in.Name, count(len(in.Hosts), "host"), unlessDefault(file))
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&hosts, "hosts", nil, "addresses of hosts, or name=address, separated by commas")
	f.StringVar(&in.Name, "name", "kubernetes", "name of the cluster")
	f.StringVar(&in.Version, "kubernetes", "", "version of Kubernetes, such as v1.37.1; that of the newest bundle by default")
	f.StringVar(&in.User, "user", "", "user to log in as; what ~/.ssh/config says by default, or root")
	f.StringVar(&in.Key, "key", "", "file of the private key to log in with; what ~/.ssh/config and ssh-agent say by default")
	f.IntVar(&in.ControlPlanes, "control-planes", 0, "how many hosts are control planes, the first ones; 3, or 1 of fewer hosts than 3, by default")
	f.BoolVar(&in.Full, "full", false, "write all fields, the others as comments")
	f.BoolVar(&fromMachines, "from-machines", false, "name the local machines of a set")
	f.StringVar(&local.set, "set", defaultSet(), "name of the set of machines")
	return c
}

// machinesOf takes hosts and key from local machines.
func machinesOf(c *cobra.Command, f *machinesFlags, in *draft.Input) error {
	set, err := f.open(c)
	if err != nil {
		return err
	}
	defer set.Close()
	list, err := set.List()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return usageError{fmt.Errorf("there are no machines in set %s; \"kubewright machines up --count 5\" makes some", set.Name())}
	}
	for _, m := range list {
		in.Hosts = append(in.Hosts, draft.Host{Name: m.Name, Address: m.Address.String()})
	}
	if in.Key == "" {
		in.User, in.Key = "root", set.IdentityFile()
	}
	return nil
}

// unlessDefault is the argument that names a file, where it needs one.
func unlessDefault(file string) string {
	if file == "cluster.yaml" {
		return ""
	}
	return " " + file
}

// writeNew writes a file that is not there yet, whole or not at all.
func writeNew(name string, content []byte) (err error) {
	unfinished, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(unfinished.Name())) }()
	_, err = unfinished.Write(content)
	if err = errors.Join(err, unfinished.Chmod(0o644), unfinished.Sync(), unfinished.Close()); err != nil {
		return err
	}
	if err := os.Link(unfinished.Name(), name); errors.Is(err, fs.ErrExist) { // a rename would take the place of what is there
		return usageError{fmt.Errorf("%s is there already, and stays; give another name, or - for standard output", name)}
	} else if err != nil {
		return err
	}
	return nil
}

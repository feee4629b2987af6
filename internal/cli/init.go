package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/draft"
	"github.com/kubewright/kubewright/internal/machines"
)

func newInit() *cobra.Command {
	var in draft.Input
	var hosts []string
	var fromMachines bool
	var look bool
	local, at := &machinesFlags{cacheDir: machines.DefaultCacheDir}, &clusterFlags{}
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first cluster file",
		Long: `Writes a cluster file, cluster.yaml by default, of the hosts that are named, as addresses or as name=address: short, with a word on what may want to be
changed. Three of the hosts become control planes if there are as many, and with fewer than four hosts these carry what you run, too. A file that is there
is not touched. - writes to standard output.

With --full all other fields are in the file, too, as comments with what they do and what they are by default. With --from-machines the hosts are local
machines ("kubewright machines"), with the key that opens them.

It connects to no host, unless --look is given: then it asks each host by SSH what it is, as "kubewright check" does, and changes nothing. What was found stands above the host in the
file. Hosts without a name are called what they call themselves; one that is too small does not become a control plane if another is not; and where a host is reached at an address that
is none of its own, or has several, the file says by which others reach it. If no host answers, nothing is written; if some do not, or carry something already, the file says so, and with
hosts that do not answer it exits with 1.`,
		Example: "  kubewright init --hosts 10.0.0.11,10.0.0.12,10.0.0.13,10.0.0.21\n  kubewright init --name prod --user admin --hosts cp1=10.0.0.11 --hosts w1=10.0.0.21 --full\n" +
			"  kubewright init --look --user admin --hosts 10.0.0.11,10.0.0.12,10.0.0.13,10.0.0.21\n" +
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
			var silent []string
			if look {
				if _, err := os.Lstat(file); err == nil {
					return thereAlready(file) // before hosts are troubled
				}
				var err error
				if silent, err = lookAt(c, at, &in); err != nil {
					return err
				}
			}
			text, err := draft.File(in)
			if err != nil {
				return notAFile(err)
			}
			if file == "-" {
				_, err = io.WriteString(c.OutOrStdout(), text)
			} else if err = writeNew(file, []byte(text)); err == nil {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: cluster %s, %s. What would be done says\n\n  kubewright plan%s\n", file, in.Name, count(len(in.Hosts), "host"), unlessDefault(file))
			}
			if err == nil && len(silent) > 0 {
				err = fmt.Errorf("%s did not answer; the file is written, and says so where such a host stands", strings.Join(silent, ", "))
			}
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
	f.BoolVar(&look, "look", false, "connect to the hosts, and write what they are")
	at.addHosts(c)
	return c
}

// lookAt asks hosts what they are, one by one where they were named by a range, and warns of those that are no good as they are. It returns those that did not answer.
func lookAt(c *cobra.Command, f *clusterFlags, in *draft.Input) (silent []string, err error) {
	asked := *in
	asked.Hosts, asked.Full = slices.Clone(in.Hosts), false
	for i, h := range asked.Hosts {
		if h.Name == "" && draft.IsName(h.Address) {
			asked.Hosts[i].Name = h.Address // which people know it by until then
		}
	}
	text, err := draft.File(asked)
	if err != nil {
		return nil, notAFile(err)
	}
	w, err := f.open(c, input{name: clusterFile, content: []byte(text)}, "look at")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	hosts, missing := w.Facts()
	w.Close()
	in.Hosts, in.ControlPlanes = nil, len(w.cluster.With(v1alpha1.ControlPlane)) // a range counted as one
	for _, h := range w.cluster.Hosts {
		host := draft.Host{Name: h.Name, Address: h.Address, Silent: strings.TrimPrefix(missing[h.Name], h.Name+": ")}
		if found, answered := hosts[h.Name]; answered {
			host.Found = &found
			if warning := host.Warning(); warning != "" {
				fmt.Fprintf(c.ErrOrStderr(), "Warning: %s: %s\n", h.Name, warning)
			}
		} else {
			silent = append(silent, h.Name)
		}
		if h.Name == h.Address {
			host.Name = ""
		}
		in.Hosts = append(in.Hosts, host)
	}
	if len(silent) == len(in.Hosts) {
		return nil, errors.New("no host answered, so nothing is written. What stands in the way of each is said above; without --look, hosts are not asked")
	}
	return silent, nil
}

// notAFile is that what was said makes no cluster file.
func notAFile(err error) error {
	return usageError{fmt.Errorf("this would be no cluster file:\n%w", err)}
}

// thereAlready is that a file is there, which is left alone.
func thereAlready(file string) error {
	return usageError{fmt.Errorf("%s is there already, and stays; give another name, or - for standard output", file)}
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
		return thereAlready(name)
	} else if err != nil {
		return err
	}
	return nil
}

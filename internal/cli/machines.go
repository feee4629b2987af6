package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

// machinesFlags are common to all commands on machines.
type machinesFlags struct {
	set, cacheDir, output string
}

func newMachines() *cobra.Command {
	f := &machinesFlags{}
	c := &cobra.Command{
		Use:   "machines",
		Short: "Make local machines to build clusters on",
		Long: `Local machines are containers on this computer that behave like fresh servers: systemd, sshd, a network, limits and
disks of their own, root, and two users: admin (sudo without a password) and ops (sudo with the password
"ops"). They know nothing of Kubernetes and reach nothing but each other and this computer.

Machines belong to a set. By default it bears your name (behind sudo, too), so that several people can use one computer.
A set has an address range of its own out of 198.18.0.0/15.

They need root, and a few Debian packages; "up" names what is missing.`,
		Example: `  kubewright machines up --count 5          # five machines, m1 to m5
  kubewright machines ssh m1                # a shell as root on the first
  kubewright machines cut m1 m2             # these two no longer reach each other
  kubewright machines kill m3               # as a power cut
  kubewright machines start m3              # its disk is as it was
  kubewright machines reset --all           # all are fresh again
  kubewright machines down --all            # nothing is left`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if f.output != "text" && f.output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", f.output)}
			}
			if _, err := f.open(c); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("local machines need root: run it with sudo")
			}
			return nil
		},
	}
	p := c.PersistentFlags()
	p.StringVar(&f.set, "set", defaultSet(), "name of the set of machines")
	p.StringVar(&f.cacheDir, "cache-dir", machines.DefaultCacheDir, "directory that holds the root file system new machines start from")
	p.StringVarP(&f.output, "output", "o", "text", "text, or json on standard output")
	c.AddCommand(newMachinesUp(f), newMachinesList(f), newMachinesSSH(f), newMachinesStart(f), newMachinesStop(f), newMachinesRestart(f), newMachinesKill(f),
		newMachinesReset(f), newMachinesDown(f), newMachinesCut(f), newMachinesHeal(f), newMachinesLimit(f), newMachinesSupervise(f), newMachinesBoot())
	return c
}

// defaultSet is the name of who runs this, as far as it makes a name for a set.
func defaultSet() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	name = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-")
	name = strings.TrimLeft(strings.Trim(name, "-"), "0123456789-")
	if name == "" {
		return "default"
	}
	return strings.TrimRight(name[:min(len(name), 32)], "-")
}

// setFlag is what a suggested command needs to reach the same set.
func (f *machinesFlags) setFlag() string {
	if f.set == defaultSet() {
		return ""
	}
	return " --set " + f.set
}

// open opens the set that the flags name. Progress goes to standard error, a line each, with the time since the start.
func (f *machinesFlags) open(c *cobra.Command) (*machines.Set, error) {
	set, err := machines.Open(machines.Config{
		Name: f.set, CacheDir: f.cacheDir, Progress: progress(c.ErrOrStderr()),
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

func progress(w io.Writer) func(machine, message string) {
	start := time.Now()
	var mu sync.Mutex
	return func(machine, message string) {
		mu.Lock()
		defer mu.Unlock()
		if machine != "" {
			machine += ": "
		}
		fmt.Fprintf(w, "%6.1fs  %s%s\n", time.Since(start).Seconds(), machine, message)
	}
}

// run opens the set, does something with it, and shows the machines afterwards where JSON is wanted.
func (f *machinesFlags) run(c *cobra.Command, do func(*machines.Set) error) error {
	set, err := f.open(c)
	if err != nil {
		return err
	}
	defer set.Close()
	if err := do(set); err != nil {
		return err
	}
	if f.output == "json" {
		return f.show(c, set)
	}
	return nil
}

// show prints the machines of a set.
func (f *machinesFlags) show(c *cobra.Command, set *machines.Set) error {
	list, err := set.List()
	if err != nil {
		return err
	}
	if f.output == "json" {
		if list == nil {
			list = []machines.Status{}
		}
		return writeJSON(c.OutOrStdout(), struct {
			Set        string            `json:"set"`
			SSHConfig  string            `json:"sshConfig"`
			KnownHosts string            `json:"knownHosts"`
			Identity   string            `json:"identityFile"`
			Machines   []machines.Status `json:"machines"`
		}{set.Name(), set.SSHConfig(), set.KnownHosts(), set.IdentityFile(), list})
	}
	if len(list) == 0 {
		fmt.Fprintf(c.OutOrStdout(), "No machines in set %s.\n", set.Name())
		return nil
	}
	return machinesTable(c.OutOrStdout(), list)
}

func writeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// namesOrAll lets a command take either names of machines or --all.
func namesOrAll(c *cobra.Command) {
	c.Flags().Bool("all", false, "all machines of the set")
	c.Args = func(c *cobra.Command, args []string) error {
		all, err := c.Flags().GetBool("all")
		if err != nil {
			return err
		}
		switch {
		case all && len(args) > 0:
			return fmt.Errorf("--all and names exclude each other")
		case !all && len(args) == 0:
			return fmt.Errorf("which machines? Give names, or --all")
		}
		return nil
	}
}

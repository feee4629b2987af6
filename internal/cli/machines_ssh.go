package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesSSH(f *machinesFlags) *cobra.Command {
	var login string
	c := &cobra.Command{
		Use:   "ssh NAME [-- COMMAND…]",
		Short: "Open a shell on a machine, or run a command there",
		Long: `Runs ssh with the set's keys and host keys. The exit code is the command's, or 255 where ssh failed.

The same works without kubewright, for scp and others, too: ssh -F FILE NAME, with the FILE that "up" names.`,
		Example: "  kubewright machines ssh m1\n  kubewright machines ssh m1 -- uname -a\n  kubewright machines ssh --login ops m2",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := f.open(c)
			if err != nil {
				return err
			}
			defer set.Close()
			list, err := set.List()
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(m machines.Status) bool { return m.Name == args[0] })
			switch {
			case i < 0:
				return fmt.Errorf("set %s has no machine %s; kubewright machines list%s shows what there is", set.Name(), args[0], f.setFlag())
			case list[i].State != machines.Running:
				return fmt.Errorf("machine %s is %s; kubewright machines start %s%s", args[0], list[i].State, args[0], f.setFlag())
			}
			// The terminal's interrupt goes to ssh and through it to the machine; it is not ours.
			ssh := exec.Command("ssh", append([]string{"-F", set.SSHConfig(), "-l", login}, args...)...)
			ssh.Stdin, ssh.Stdout, ssh.Stderr = os.Stdin, c.OutOrStdout(), c.ErrOrStderr()
			err = ssh.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return exitError{exit.ExitCode()}
			}
			return err
		},
	}
	c.Flags().StringVarP(&login, "login", "l", "root", "log in as root, admin or ops")
	c.Flags().SetInterspersed(false)
	return c
}

package cli

import (
	"fmt"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesUp(f *machinesFlags) *cobra.Command {
	o := machines.UpOptions{Hardware: machines.DefaultHardware()}
	memory, disk := bytesValue(o.Memory), bytesValue(o.Disk)
	c := &cobra.Command{
		Use:   "up",
		Short: "Make machines, and start those that are off",
		Long: `Makes the machines that are missing, starts those that are off, and returns when all of them answer over SSH. Existing
machines keep what they have; --cpus and --memory, where given, take effect on them at once.

The first time on a computer it builds a root file system from the Debian packages that this computer is configured to use.`,
		Example: "  kubewright machines up --count 5\n  kubewright machines up --count 3 --name-prefix cp --cpus 4 --memory 8G",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Memory, o.Disk = int64(memory), int64(disk)
			o.SetCPUs, o.SetMemory = c.Flags().Changed("cpus"), c.Flags().Changed("memory")
			return f.run(c, func(set *machines.Set) error {
				if err := set.Up(c.Context(), o); err != nil {
					return err
				}
				if f.output == "text" {
					if err := f.show(c, set); err != nil {
						return err
					}
					fmt.Fprintf(c.OutOrStdout(), "\nA shell:   kubewright machines ssh %[1]s1%[3]s\nOr:        ssh -F %[2]s %[1]s1\nAway:      kubewright machines down --all%[3]s\n",
						o.NamePrefix, set.SSHConfig(), f.setFlag())
				}
				return nil
			})
		},
	}
	c.Flags().IntVar(&o.Count, "count", 3, "how many machines, 1 to 100")
	c.Flags().StringVar(&o.NamePrefix, "name-prefix", "m", "they are named with this and a number from 1")
	c.Flags().Float64Var(&o.CPUs, "cpus", o.CPUs, "CPUs that each may use; 0 is no limit")
	c.Flags().Var(&memory, "memory", "memory that each may use; 0 is no limit")
	c.Flags().Var(&disk, "disk", "size of each new machine's disk; it takes up what is written only")
	return c
}

// bytesValue is a flag for a number of bytes, written as 4G or 512MiB (powers of 1,024).
type bytesValue int64

func (v *bytesValue) String() string {
	return units.CustomSize("%.4g%s", float64(*v), 1024, []string{"", "K", "M", "G", "T"})
}

func (v *bytesValue) Set(s string) error {
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return fmt.Errorf("want a size such as 512M or 4G")
	}
	*v = bytesValue(n)
	return nil
}

func (v *bytesValue) Type() string { return "size" }

package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
	"github.com/kubewright/kubewright/internal/machines/inside"
)

// newMachinesSupervise is what "up" and "start" start for each machine. It is not for people.
func newMachinesSupervise(f *machinesFlags) *cobra.Command {
	return &cobra.Command{
		Use: "supervise NAME", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Supervise(c.Context(), names[0]) })
		},
	}
}

// newMachinesBoot is process 1 of a machine until init is. It is not for people.
func newMachinesBoot() *cobra.Command {
	return &cobra.Command{
		Use: "boot", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return inside.Boot("/sbin/init") },
	}
}

package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesKill(f *machinesFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "kill NAME… | --all",
		Short: "Take the power from machines",
		Long: `Ends machines as a power cut does: no process inside gets a chance. What they had written is on their disks, also what
they had not synced: it is in the memory of this computer, which keeps its power.`,
		Example: "  kubewright machines kill m1\n  kubewright machines kill --all",
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Kill(c.Context(), names...) })
		},
	}
	namesOrAll(c)
	return c
}

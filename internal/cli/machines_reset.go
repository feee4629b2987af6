package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesReset(f *machinesFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "reset NAME… | --all",
		Short: "Make machines fresh again",
		Long: `Takes the power from machines, gives them empty disks, heals their links, and starts them: what was on their disks is
lost. They keep names, addresses, hardware and SSH host keys, and get a new machine ID.`,
		Example: "  kubewright machines reset m1\n  kubewright machines reset --all",
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Reset(c.Context(), names...) })
		},
	}
	namesOrAll(c)
	return c
}

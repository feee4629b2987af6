package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesDown(f *machinesFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "down NAME… | --all",
		Short: "Remove machines with their disks",
		Long: `Removes machines and their disks. With the last one goes everything else of the set: no mount, network device, control
group, process or rule is left, also after a killed "up". The root file system stays in the cache.`,
		Example: "  kubewright machines down m5\n  kubewright machines down --all",
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Down(c.Context(), names...) })
		},
	}
	namesOrAll(c)
	return c
}

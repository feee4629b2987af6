package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesStart(f *machinesFlags) *cobra.Command {
	c := &cobra.Command{
		Use:     "start NAME… | --all",
		Short:   "Switch machines on",
		Long:    "Switches machines on and returns when they answer over SSH. Their disks are as they were.",
		Example: "  kubewright machines start m1 m2",
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Start(c.Context(), names...) })
		},
	}
	namesOrAll(c)
	return c
}

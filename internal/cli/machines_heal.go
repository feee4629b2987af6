package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesHeal(f *machinesFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "heal NAME [OTHER…]",
		Short:   "Take back what cut did",
		Long:    "Takes back all cuts of a machine or, with others, those between it and these.",
		Example: "  kubewright machines heal m1\n  kubewright machines heal m1 m2",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Heal(c.Context(), names[0], names[1:]...) })
		},
	}
}

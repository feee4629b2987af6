package cli

import (
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesCut(f *machinesFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "cut NAME [OTHER…]",
		Short: "Cut a machine off from everybody, or from others",
		Long: `Makes the switch drop what goes from and to a machine, or, with others, between it and these only. Its cable stays in:
nothing inside notices but that no answers come. A cut holds across restarts until it is healed.`,
		Example: "  kubewright machines cut m1          # from everybody, this computer included\n  kubewright machines cut m1 m2 m3    # from these two, in both directions",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Cut(c.Context(), names[0], names[1:]...) })
		},
	}
}

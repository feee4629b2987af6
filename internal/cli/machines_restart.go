package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesRestart(f *machinesFlags) *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use:     "restart NAME… | --all",
		Short:   "Shut machines down and start them again",
		Long:    `Shuts machines down as "stop" does, and starts them again as "start" does.`,
		Example: "  kubewright machines restart m1",
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Restart(c.Context(), patience, names...) })
		},
	}
	patienceFlag(c, &patience)
	namesOrAll(c)
	return c
}

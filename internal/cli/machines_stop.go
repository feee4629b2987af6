package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesStop(f *machinesFlags) *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use:     "stop NAME… | --all",
		Short:   "Shut machines down",
		Long:    "Shuts machines down in order. One that takes longer than --patience is switched off.",
		Example: "  kubewright machines stop m1\n  kubewright machines stop --all",
		RunE: func(c *cobra.Command, names []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Stop(c.Context(), patience, names...) })
		},
	}
	patienceFlag(c, &patience)
	namesOrAll(c)
	return c
}

func patienceFlag(c *cobra.Command, patience *time.Duration) {
	c.Flags().DurationVar(patience, "patience", 60*time.Second, "how long a machine may take to shut down before it is switched off")
}

package cli

import (
	"time"

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

func patienceFlag(c *cobra.Command, patience *time.Duration) {
	c.Flags().DurationVar(patience, "patience", 60*time.Second, "how long a machine may take to shut down before it is switched off")
}

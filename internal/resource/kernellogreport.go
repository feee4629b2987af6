package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// KernelLogReport looks for what the kernel complained of in the last hours that matters to a cluster. It finds a list of KernelComplaint.
type KernelLogReport struct {
	// Hours back, at least 1.
	Hours int `json:"hours"`
}

// KernelComplaint is something that the kernel complained of.
type KernelComplaint struct {
	Kind KernelTrouble `json:"kind"`
	// Times it did, and the line that it said last.
	Times int    `json:"times"`
	Last  string `json:"last"`
}

// KernelTrouble is a kind of complaints.
type KernelTrouble string

// The kinds.
const (
	OutOfMemory    KernelTrouble = "out of memory"
	DiskErrors     KernelTrouble = "disk errors"
	TooManyFlows   KernelTrouble = "too many connections"
	NeighboursFull KernelTrouble = "too many neighbours"
	Stalls         KernelTrouble = "stalls"
)

// complaints are by words of the kernel's (Linux 6.12: mm/oom_kill.c, block/blk-core.c, fs/ext4/super.c, fs/xfs/xfs_message.c, net/netfilter/nf_conntrack_core.c,
// net/core/neighbour.c, kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h). Some of them it says as mere information.
var complaints = []struct {
	words string
	kind  KernelTrouble
}{
	{"out of memory: killed process", OutOfMemory},
	{"i/o error, dev", DiskErrors}, {"ext4-fs error", DiskErrors}, {"remounting filesystem read-only", DiskErrors}, {"metadata i/o error", DiskErrors}, {"critical medium error", DiskErrors},
	{"nf_conntrack: table full", TooManyFlows},
	{"neighbor table overflow", NeighboursFull},
	{"soft lockup", Stalls}, {"blocked for more than", Stalls}, {"self-detected stall", Stalls},
}

// harmlessComplaints are of containers that took more than their limit, and of drives that have nothing in them.
var harmlessComplaints = []string{"memory cgroup out of memory", "dev fd", "dev sr", "dev loop"}

// ID is the same everywhere.
func (r KernelLogReport) ID() ID { return ID{"kernel-log", "machine"} }

// maxKernelLines of the log are read, the last.
const maxKernelLines = 5000

// Look asks the journal.
func (r KernelLogReport) Look(ctx context.Context, env *Env) (any, error) {
	o, err := env.Exec.Run(ctx, Command{Name: "journalctl", Args: []string{
		"--dmesg", fmt.Sprintf("--since=-%dh", max(r.Hours, 1)), fmt.Sprintf("--lines=%d", maxKernelLines), "--output=short-iso", "--no-pager", "--quiet",
	}})
	if err != nil {
		return nil, err
	}
	if o.Code != 0 && strings.TrimSpace(o.Stderr) != "" { // of what said nothing, the code is 1, too
		return nil, fmt.Errorf("reading the kernel's log: %s", o.last())
	}
	return kernelComplaints(o.Stdout), nil
}

func kernelComplaints(log string) []KernelComplaint {
	list := []KernelComplaint{}
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		low := strings.ToLower(line)
		if slices.ContainsFunc(harmlessComplaints, func(words string) bool { return strings.Contains(low, words) }) {
			continue
		}
		for _, c := range complaints {
			if !strings.Contains(low, c.words) {
				continue
			}
			i := slices.IndexFunc(list, func(k KernelComplaint) bool { return k.Kind == c.kind })
			if i < 0 {
				i, list = len(list), append(list, KernelComplaint{Kind: c.kind})
			}
			list[i].Times++
			list[i].Last = line
			break
		}
	}
	return list
}

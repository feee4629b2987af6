package converge

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// share is how many leave of how many.
type share struct{ leave, of int }

func (s *share) count(leaves bool) {
	s.of++
	if leaves {
		s.leave++
	}
}

// manyLeave refuses a cluster file by which so many hosts leave at once that it most likely is not the right one, or was cut off: half of all or more, if they are three at least; all
// workers, or most control planes, if they are two at least. So one host always may leave, also the only worker, or the only control plane when another takes its place; and two of five
// control planes, but not two of three. That others come makes no difference: another cluster's file has hosts, too.
//
// Hosts that do not answer are not counted, neither as leaving nor as having been there: what they had is lost already, and taking them out is how a cluster goes on without them, after
// "etcd recover" most of all. Roles are those that hosts are remembered with; who only changes them does not leave. Steps are all others: those that have hosts leave among them.
//
// It can be overruled, for what is then done comes to its end: hosts leave one after the other, each in the order that always holds, and what would cost etcd its quorum on the way is
// refused by guards that cannot be overruled.
func manyLeave(c *cluster.Cluster, hosts map[string]facts.Host, forget []string, leavers []facts.Leaver, steps []plan.Step) []plan.Problem {
	known := remembers(hosts)
	maps.DeleteFunc(known, func(name string, h facts.InventoryHost) bool { return h.Left || slices.Contains(forget, name) })
	leaves, silent := map[string]bool{}, 0
	for _, l := range leavers {
		_, does := departure(steps, l.Name)
		switch {
		case !does:
		case l.Host == nil:
			delete(known, l.Name)
			silent++
		default:
			leaves[l.Name] = true
		}
	}
	var all, planes, workers share
	for name, h := range known {
		all.count(leaves[name])
		if slices.Contains(h.Roles, string(v1alpha1.ControlPlane)) {
			planes.count(leaves[name])
		}
		if slices.Contains(h.Roles, string(v1alpha1.Worker)) {
			workers.count(leaves[name])
		}
	}
	mostPlanes := planes.leave >= 2 && 2*planes.leave > planes.of
	if !mostPlanes && !(workers.leave >= 2 && workers.leave == workers.of) && !(all.leave >= 3 && 2*all.leave >= all.of) {
		return nil
	}
	p := plan.Problem{Blocks: true,
		Message: fmt.Sprintf("by this cluster file, %d of %d hosts leave the cluster (%d of %d control planes, %d of %d workers", all.leave, all.of, planes.leave, planes.of, workers.leave, workers.of),
		Remedy:  "Put those back into it that shall stay, or have fewer leave at a time; \"kubewright recover-config --from HOST\" gives the file that was applied last",
		Loss:    fmt.Sprintf("what the cluster stored on these hosts is gone, and their Pods have to find room on the %d that stay", all.of-all.leave)}
	if silent > 0 {
		p.Message += fmt.Sprintf("; not counted: %d that do not answer", silent)
	}
	p.Message += "): most likely it is not the right file, or not all of it"
	if mostPlanes && !c.Etcd.External.Wanted() {
		n := len(c.EtcdHosts())
		p.Loss += fmt.Sprintf("; %d of %d members of etcd may fail then without the API stopping", (n-1)/2, n)
	}
	return []plan.Problem{p}
}

package kubelet

import (
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// Guard says which hosts are nodes and shall be none any more, though they stay: a kubelet that forgets the API ends the Pods that it had from there, and leaves a node that is dead, and rules and
// routes of theirs on the host. The other way is open: a kubelet that is told of the API registers a node, and what runs on the host runs on. hosts are those that answered, by name.
func Guard(c *cluster.Cluster, hosts map[string]facts.Host) []plan.Problem {
	var problems []plan.Problem
	for _, h := range c.Hosts {
		if !hosts[h.Name].Kubernetes.Joined || !c.Standalone(h) {
			continue
		}
		p := plan.Problem{Host: h.Name, Blocks: true, Message: "it is a node of the cluster, and shall stay with static Pods alone, by a kubelet that stands alone",
			Remedy: "Give it the role worker, too; or take it out of the file and apply, so that it leaves in order, and put it back then"}
		if slices.Contains(h.Roles, v1alpha1.ControlPlane) {
			p.Message = "it is a node of the cluster, and by controlPlane.standalone control planes shall be none"
			p.Remedy = "Take controlPlane.standalone out of the file: a cluster is born with it"
		}
		problems = append(problems, p)
	}
	return problems
}

// Package node says what the node of each host is like in the API: its labels and taints, and that it is ready. Its kubelet registers it.
package node

import (
	"maps"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// StepOf is the name of the step about a host's node. It is a step of the host that speaks with the API.
func StepOf(host string) string { return "node " + host }

// noBalancerLabel is what kubeadm gives control planes, too (LabelExcludeFromExternalLB in its constants).
const noBalancerLabel = "node.kubernetes.io/exclude-from-external-load-balancers"

// Input is what steps are made of.
type Input struct {
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// API and Executor are how the API is reached, and from which host.
	API      resource.API
	Executor string
	// After is what the step about a host waits for: that its kubelet runs.
	After func(host string) []plan.Condition
}

// Steps are a step for each host that answered.
func Steps(in Input) []plan.Step {
	var steps []plan.Step
	for _, h := range in.Cluster.Nodes() {
		if _, answered := in.Hosts[h.Name]; !answered {
			continue
		}
		s := plan.Step{
			StepID:    plan.StepID{Host: in.Executor, Name: StepOf(h.Name)},
			Resources: []resource.Resource{resource.Node{API: in.API, Name: h.Name, Labels: Labels(h), Taints: taints(h)}},
			Requires:  in.After(h.Name),
		}
		if in.Cluster.Network.Plugin != v1alpha1.NoPlugin { // without a plugin nodes are ready when the user's own is there
			s.Ensures = []resource.Probe{resource.NodeReady{API: in.API, Name: h.Name}}
		}
		steps = append(steps, s)
	}
	return steps
}

// Labels are those that the node of a host shall have.
func Labels(h v1alpha1.Host) map[string]string {
	labels := map[string]string{}
	if slices.Contains(h.Roles, v1alpha1.ControlPlane) {
		labels[cluster.ControlPlaneRole], labels[noBalancerLabel] = "", ""
	}
	maps.Copy(labels, h.Labels)
	return labels
}

// taints are those that the node of a host shall have.
func taints(h v1alpha1.Host) []resource.NodeTaint {
	var list []resource.NodeTaint
	for _, t := range cluster.TaintsOf(h) {
		list = append(list, resource.NodeTaint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	return list
}

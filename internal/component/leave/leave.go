// Package leave has hosts leave the cluster that left the cluster file: their Pods move away, their API server and etcd member end in order, their node goes, and they are put back as they
// were found. It decides by what hosts are, does nothing itself, and knows nothing of how members of etcd leave: that is said to it.
package leave

import (
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// Names of the steps on a host that leaves.
const (
	// Stop ends what a control plane serves.
	Stop = "control plane leaves"
	// Reset puts the host back as it was found.
	Reset = "reset"
	// Ended is that its member of etcd is none any more.
	Ended = "etcd leaves"
)

// Input is what steps are made of.
type Input struct {
	Cluster *cluster.Cluster
	// Hosts are those of the cluster file that answered, by name.
	Hosts map[string]facts.Host
	// Leaving are the hosts that left the cluster file, in the order in which their members leave etcd.
	Leaving []facts.Leaver
	// API and Executor are how the API is reached, and from which host.
	API      resource.API
	Executor string
	// RuntimeEndpoint is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	RuntimeEndpoint string
	// Balanced is what has to have come true before an API server ends, or a balancer: that nobody is sent to it.
	Balanced []plan.Condition
	// Member is that the etcd member of a host has left.
	Member func(host string) []plan.Condition
	// After is what the first step waits for.
	After []plan.Condition
	// Together is how many workers leave at once; at least 1.
	Together int
}

// programs of a control plane; etcd stays until it has left its cluster.
func programs() []string {
	return []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
}

// Stopped is that the API server of a host has ended, which asks the member of etcd beside it; nothing for those that serve none, or do not answer.
func Stopped(in Input) func(host string) []plan.Condition {
	return func(host string) []plan.Condition {
		if stops(in, host) {
			return []plan.Condition{plan.After(plan.StepID{Host: host, Name: Stop})}
		}
		return nil
	}
}

// stops says whether a host that answers has a control plane that is to end.
func stops(in Input, host string) bool {
	if i := slices.IndexFunc(in.Leaving, func(l facts.Leaver) bool { return l.Name == host }); i >= 0 {
		return in.Leaving[i].Host != nil && serves(*in.Leaving[i].Host)
	}
	f, answered := in.Hosts[host]
	h := in.Cluster.Host(host)
	return answered && h != nil && !slices.Contains(h.Roles, v1alpha1.ControlPlane) && serves(f)
}

// serves says whether a host has a control plane, or one that ends: whatever has the key of the authority is one, as long as it has static Pods. Others may carry a member of etcd.
func serves(f facts.Host) bool {
	k := f.Kubernetes
	return slices.ContainsFunc(programs(), func(name string) bool { return k.Manifests[name+".yaml"] != "" }) || len(k.Manifests) > 0 && k.Authorities[pki.Kubernetes].Key
}

// ends says whether a host that stays has a member of etcd, or what is left of one, and shall have none.
func ends(in Input, h v1alpha1.Host) bool {
	f, answered := in.Hosts[h.Name]
	return answered && f.Kubernetes.Manifests["etcd.yaml"] != "" && !in.Cluster.HasMember(h)
}

// Steps are those of all hosts that leave, and of those that stay and are control planes no more, or carry no member of etcd any more; and what deserves a second look.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	var steps []plan.Step
	var problems []plan.Problem
	for _, h := range in.Cluster.Hosts {
		stops, ends := stops(in, h.Name), ends(in, h)
		if !stops && !ends {
			continue
		}
		if stops {
			steps = append(steps, stop(in, h.Name, "", in.Balanced))
		}
		// What is not wanted any more goes when all steps on a host are done: its member must have left by then.
		steps = append(steps, plan.Step{StepID: plan.StepID{Host: h.Name, Name: Ended}, Requires: in.Member(h.Name)})
		p := plan.Problem{Host: h.Name, Careful: true, Message: "is a control plane no more: its API server ends, and its member leaves etcd"}
		switch {
		case !stops:
			p.Message = "carries a member of etcd no more: it leaves etcd, and its data goes"
		case in.Cluster.HasMember(h), in.Cluster.Etcd.External.Wanted():
			p.Message = "is a control plane no more: its API server ends"
		}
		problems = append(problems, p)
	}
	lanes := map[bool][]plan.Condition{} // by whether it is a control plane: the ends of those before
	for _, l := range in.Leaving {
		plane := slices.Contains(l.Roles, string(v1alpha1.ControlPlane)) || slices.Contains(l.Roles, string(v1alpha1.Etcd))
		together := 1
		if !plane {
			together = max(1, in.Together)
		}
		begin := slices.Clone(in.After)
		if n := len(lanes[plane]); n >= together {
			begin = append(begin, lanes[plane][n-together])
		}
		list, end := host(in, l, begin)
		steps = append(steps, list...)
		lanes[plane] = append(lanes[plane], end)
		problems = append(problems, careful(l))
	}
	return steps, problems
}

// careful says what becomes of a host.
func careful(l facts.Leaver) plan.Problem {
	if l.Host == nil {
		return plan.Problem{Host: l.Name, Careful: true, Message: "left the cluster file and does not answer (" + l.Silent + "): it leaves the cluster without having been put back, and what " +
			"still runs on it is nobody's any more"}
	}
	if !l.Host.Kubernetes.Joined && slices.Contains(l.Roles, string(v1alpha1.Etcd)) && !slices.Contains(l.Roles, string(v1alpha1.Worker)) {
		return plan.Problem{Host: l.Name, Careful: true, Message: "left the cluster file: its member leaves etcd, and it is put back as it was found"}
	}
	return plan.Problem{Host: l.Name, Careful: true, Message: "left the cluster file: its Pods move away, and it is put back as it was found"}
}

// host are the steps of one host, and that it has left.
func host(in Input, l facts.Leaver, begin []plan.Condition) (steps []plan.Step, left plan.Condition) {
	// What it was for others goes first: Pods that move away, connections, its vote. Then it is put back, and its node goes last: a kubelet that runs would
	// register it again.
	drain := plan.Step{
		StepID: plan.StepID{Host: in.Executor, Name: "drain " + l.Name}, Leaves: l.Name, Requires: begin,
		Resources: []resource.Resource{resource.Drain{API: in.API, Node: l.Name, Dead: l.Host == nil}},
	}
	steps = append(steps, drain)
	done := []plan.Condition{plan.After(drain.StepID)}
	if l.Host != nil && serves(*l.Host) {
		s := stop(in, l.Name, l.Name, slices.Concat(done, in.Balanced))
		steps, done = append(steps, s), append(done, plan.After(s.StepID))
	}
	done = append(done, in.Member(l.Name)...)
	if slices.Contains(l.Roles, string(v1alpha1.LoadBalancer)) {
		done = append(done, in.Balanced...) // nobody is led to it any more
	}
	if l.Host != nil {
		reset := plan.Step{StepID: plan.StepID{Host: l.Name, Name: Reset}, Leaves: l.Name, Reset: true, Requires: done}
		steps, done = append(steps, reset), []plan.Condition{plan.After(reset.StepID)}
	}
	node := plan.Step{
		StepID: plan.StepID{Host: in.Executor, Name: "node " + l.Name + " leaves"}, Leaves: l.Name, Requires: done,
		Resources: []resource.Resource{resource.NodeAbsent{API: in.API, Name: l.Name}},
	}
	return append(steps, node), plan.After(node.StepID)
}

// stop ends what a control plane serves.
func stop(in Input, name, leaves string, requires []plan.Condition) plan.Step {
	s := plan.Step{StepID: plan.StepID{Host: name, Name: Stop}, Leaves: leaves, Requires: requires}
	if leaves == "" {
		s.Group = cluster.GroupOf(*in.Cluster.Host(name))
	}
	s.Resources = []resource.Resource{resource.StaticPodsGone{Names: programs(), Dir: staticpod.Dir, Socket: in.RuntimeEndpoint}}
	return s
}

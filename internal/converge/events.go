package converge

import (
	"maps"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"

	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/runtime"
)

// overrides says whether the API server of a host has its events elsewhere.
func overrides(f facts.Host) bool { return f.Kubernetes.Settings[facts.EtcdOverrides] != "" }

// beforeEvents is what an API server waits for of the etcd for events. One that is told of it now waits for its quorum. One that knows it is well without it, but does not come up anew before it is
// connected to some member (cluster.WithoutEvents): if none answers, it waits for one of them, so that it is left as it is if none comes. Both wait until those members vote that come: an API
// server asks all of them, and learners answer nobody.
func beforeEvents(w Wish, host string, membership etcd.Membership) []plan.Condition {
	e := w.Cluster.EventsEtcd()
	of := steps(w, e.Hosts, etcd.StepOf(e))
	var list []plan.Condition
	for _, m := range e.Hosts {
		list = append(list, membership.Votes(m.Name)...)
	}
	switch {
	case len(e.Hosts) == 0:
		return nil
	case !overrides(w.Hosts[host]):
		return append(list, plan.Condition{Name: e.Name + " has a quorum", AtLeast: len(e.Hosts)/2 + 1, Of: of})
	case len(of) == 0 || slices.ContainsFunc(e.Hosts, func(h v1alpha1.Host) bool { return w.Hosts[h.Name].Kubernetes.Events.ID != "" }):
		return list
	}
	return append(list, plan.Condition{Name: "a member of " + e.Name + " answers", AtLeast: 1, Of: of})
}

// eventsUnasked is that no API server asks any more a member of the etcd for events that answers and leaves: each asks all members that it knows, so those that serve have been told whom to ask.
func eventsUnasked(w Wish) []plan.Condition {
	var list []plan.Condition
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		f, answered := w.Hosts[h.Name]
		if _, serves := f.Kubernetes.Manifests["kube-apiserver.yaml"]; answered && serves {
			list = append(list, after(h.Name, controlplane.Step)...)
		}
	}
	return list
}

// moveEvents says what becomes of events that there are when they are stored elsewhere from now on, or no more; of a cluster that is new there are none.
func moveEvents(w Wish) []plan.Problem {
	wanted := w.Cluster.Etcd.Events.Wanted()
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		f, answered := w.Hosts[h.Name]
		switch {
		case !answered || !f.Kubernetes.Formed || overrides(f) == wanted:
		case wanted:
			return []plan.Problem{{Careful: true, Message: "events move to an etcd of their own: API servers find them there one after the other; those that there are stay behind in the main etcd, where nobody sees " +
				"them, and expire within an hour"}}
		default:
			return []plan.Problem{{Careful: true, Message: "the etcd for events ends: API servers store events in the main etcd again, one after the other, and those that there are are gone with it"}}
		}
	}
	return nil
}

// endEvents are the steps by which members of the etcd for events end where there are to be none: when no API server asks them any more, and when others have what they had. What they leave is taken
// away then.
func endEvents(w Wish, every map[string]facts.Host, membership etcd.Membership) []plan.Step {
	e := w.Cluster.EventsEtcd()
	var list []plan.Step
	for _, name := range slices.Sorted(maps.Keys(every)) {
		if w.Cluster.Host(name) == nil || e.Carries(name) || every[name].Kubernetes.Manifests[e.Name+".yaml"] == "" {
			continue
		}
		s := plan.Step{StepID: plan.StepID{Host: name, Name: e.Name + " ends"}, Requires: membership.Gone(name),
			Resources: []resource.Resource{resource.StaticPodsGone{Names: []string{e.Name}, Dir: staticpod.Dir, Socket: runtime.Endpoint(w.Cluster)}}}
		if ids := steps(w, w.Cluster.With(v1alpha1.ControlPlane), controlplane.Step); len(ids) > 0 {
			s.Requires = append(s.Requires, plan.Condition{Name: "no API server asks it any more", Of: ids})
		}
		list = append(list, s)
	}
	return list
}

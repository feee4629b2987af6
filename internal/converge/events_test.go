package converge

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

const eventsAlone = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: 'cp[1-3]', address: '10.0.0.[11-13]', roles: [control-plane, etcd]}
- {name: 'ev[1-3]', address: '10.0.0.[21-23]', roles: [control-plane]}
`

func modelOf(t *testing.T, file string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withEvents are the steps and problems of a cluster whose hosts are as they are told.
func withEvents(t *testing.T, events string, is facts.Kubernetes) ([]plan.Step, []plan.Problem) {
	t.Helper()
	c := modelOf(t, eventsAlone+events)
	w := Wish{Cluster: c, Hosts: map[string]facts.Host{}}
	for i, h := range c.Hosts {
		c.Hosts[i].InternalAddresses = []string{h.Address}
		f := debian(h)
		f.Kubernetes = is
		w.Hosts[h.Name] = f
	}
	w.Keys = func() (Keys, []plan.Problem) { return newKeyring(machines{}.fetch).see(c, w.Hosts) }
	steps, problems := Standard(everything())(w)
	if err := plan.Check(steps, groups(c)); err != nil {
		t.Error(err)
	}
	known := map[plan.StepID]bool{}
	for _, s := range steps {
		known[s.StepID] = true
	}
	for _, s := range steps {
		for _, r := range s.Requires {
			for _, id := range r.Of {
				if !known[id] {
					t.Errorf("%s waits for %s, which there is not", s.StepID, id)
				}
			}
		}
	}
	return steps, problems
}

// On the hosts of the main etcd or on others: nothing waits in a circle, nor for what there is not, and API servers come after the quorum.
func TestNewClusterWithEvents(t *testing.T) {
	for events, members := range map[string][]string{
		"etcd: {events: {hosts: ['cp[1-3]']}}\n": {"cp1", "cp2", "cp3"},
		"etcd: {events: {hosts: ['ev[1-3]']}}\n": {"ev1", "ev2", "ev3"},
	} {
		steps, problems := withEvents(t, events, facts.Kubernetes{})
		if list := blocking(problems); len(list) > 0 {
			t.Errorf("%s: it is refused: %q", events, list)
		}
		var have []string
		waits := 0
		for _, s := range steps {
			if s.Name == facts.EventsEtcd {
				have = append(have, s.Host)
				if s.Group != cluster.EventsMembers {
					t.Errorf("%s is of the group %q", s.StepID, s.Group)
				}
			}
			if s.Name == controlplane.Step && slices.ContainsFunc(s.Requires, func(c plan.Condition) bool { return c.Name == "etcd-events has a quorum" && c.AtLeast == 2 }) {
				waits++
			}
		}
		if !slices.Equal(have, members) || waits != 6 {
			t.Errorf("%s: members are on %q, and %d control planes wait for them", events, have, waits)
		}
	}
}

// What becomes of events is said where they move, and where their etcd ends; API servers that have been told wait only for a member if none answers.
func TestEventsMove(t *testing.T) {
	const on = "etcd: {events: {hosts: ['ev[1-3]']}}\n"
	lives := facts.Kubernetes{Formed: true, Settings: map[string]string{}}
	said := func(list []plan.Problem, part string) bool {
		return slices.ContainsFunc(list, func(p plan.Problem) bool { return p.Careful && strings.Contains(p.Message, part) })
	}
	w := func(events string, k facts.Kubernetes) Wish {
		c := modelOf(t, eventsAlone+events)
		w := Wish{Cluster: c, Hosts: map[string]facts.Host{}}
		for _, h := range c.Hosts {
			w.Hosts[h.Name] = facts.Host{Kubernetes: k}
		}
		return w
	}
	told := lives
	told.Settings = map[string]string{facts.EtcdOverrides: "/events#https://10.0.0.21:2382"}
	told.Manifests = map[string]string{"etcd-events.yaml": "x"}
	if !said(moveEvents(w(on, lives)), "expire within an hour") || !said(moveEvents(w("", told)), "the etcd for events ends") {
		t.Error("it is not said what becomes of events")
	}
	if len(moveEvents(w(on, told)))+len(moveEvents(w("", lives)))+len(moveEvents(w(on, facts.Kubernetes{}))) > 0 {
		t.Error("something is said although they stay where they are")
	}
	if c := beforeEvents(w(on, told), "cp1", etcd.Membership{}); len(c) != 1 || c[0].AtLeast != 1 {
		t.Errorf("with none that answers, API servers wait for %+v", c)
	}
	told.Events.ID = "1"
	if c := beforeEvents(w(on, told), "cp1", etcd.Membership{}); c != nil {
		t.Errorf("with one that answers, API servers wait for %+v", c)
	}
	ends := endEvents(w("", told), w("", told).Hosts, etcd.Membership{})
	if len(ends) != 6 || ends[0].Name != "etcd-events ends" || len(ends[0].Requires) != 1 || len(ends[0].Requires[0].Of) != 6 {
		t.Errorf("it ends by %+v", ends)
	}
}

// eventsOn gives hosts that live members of the etcd for events, each at an address of its own, and tells API servers of them.
func eventsOn(is map[string]facts.Kubernetes, addresses map[string]string) {
	var members []facts.EtcdMember
	for name, address := range addresses {
		members = append(members, facts.EtcdMember{ID: "id-" + name, Name: name, PeerURLs: []string{"https://" + address + ":2383"}})
	}
	for name, k := range is {
		k.Manifests, k.Settings = maps.Clone(k.Manifests), maps.Clone(k.Settings)
		if k.API {
			k.Settings[facts.EtcdOverrides] = "/events#https://10.0.0.11:2382"
		}
		if _, carries := addresses[name]; carries {
			k.EventsFormed = true
			k.Events = facts.Etcd{Data: true, Log: true, ID: "id-" + name, Leader: "id-" + name, Quorum: true, Members: members}
			if k.Manifests == nil {
				k.Manifests = map[string]string{}
			}
			k.Manifests["etcd-events.yaml"] = "registry.k8s.io/etcd:3.7.3-0"
		}
		is[name] = k
	}
}

// serving are three control planes that carry the main etcd, and two workers.
func serving(t *testing.T) map[string]facts.Kubernetes {
	t.Helper()
	plane, worker := living(t)
	plane.Settings = map[string]string{}
	is := map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "cp3": plane, "w1": worker, "w2": worker}
	with(is, map[string]string{"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"})
	return is
}

const eventsFile = planesFile + workerFile + "- {name: w2, address: 10.0.0.22, roles: [worker]}\n"

// Events go to another host: API servers are told of its member when it votes, and the old one leaves when all of them have been told.
func TestEventsMoveToAnotherHost(t *testing.T) {
	is := serving(t)
	eventsOn(is, map[string]string{"cp1": "10.0.0.11"})
	steps, problems := shape(t, eventsFile+"etcd: {events: {hosts: [cp2]}}\n", is)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	votes, leaves := plan.StepID{Host: "cp1", Name: "etcd-events member cp2 votes"}, plan.StepID{Host: "cp1", Name: "etcd-events member cp1 leaves"}
	for _, plane := range []string{"cp1", "cp2", "cp3"} {
		serves := plan.StepID{Host: plane, Name: controlplane.Step}
		if !waitsFor(steps, serves, votes) {
			t.Errorf("%s does not wait for %s", serves, votes)
		}
		if !waitsFor(steps, leaves, serves) {
			t.Errorf("%s does not wait for %s", leaves, serves)
		}
	}
	if ends := (plan.StepID{Host: "cp1", Name: "etcd-events ends"}); !waitsFor(steps, ends, leaves) {
		t.Errorf("%s does not wait for %s", ends, leaves)
	}
}

// A control plane that comes with a member beside it waits for that to vote; the others, which serve, do so before they are told of it.
func TestEventsOnOneControlPlaneMore(t *testing.T) {
	is := serving(t)
	delete(is, "cp3")
	with(is, map[string]string{"cp1": "10.0.0.11", "cp2": "10.0.0.12"})
	eventsOn(is, map[string]string{"cp1": "10.0.0.11", "cp2": "10.0.0.12"})
	steps, problems := shape(t, eventsFile+"etcd: {events: {hosts: ['cp[1-3]']}}\n", is)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	for _, plane := range []string{"cp1", "cp2", "cp3"} {
		if serves, votes := (plan.StepID{Host: plane, Name: controlplane.Step}), (plan.StepID{Host: "cp1", Name: "etcd-events member cp3 votes"}); !waitsFor(steps, serves, votes) {
			t.Errorf("%s does not wait for %s", serves, votes)
		}
	}
}

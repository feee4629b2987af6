package etcd

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// living is a cluster of members by name, each at the address of the name's last digit, and what its hosts say.
type living struct {
	members []facts.EtcdMember
	hosts   map[string]facts.Host
}

func memberURL(name string) string { return "https://10.0.0.1" + name[len(name)-1:] + ":2380" }

func lives(names ...string) *living {
	l := &living{hosts: map[string]facts.Host{}}
	for _, name := range names {
		l.members = append(l.members, facts.EtcdMember{ID: "id-" + name, Name: name, PeerURLs: []string{memberURL(name)}})
	}
	for _, name := range names {
		l.hosts[name] = facts.Host{Kubernetes: facts.Kubernetes{Formed: true, Manifests: map[string]string{"etcd.yaml": "x"},
			Etcd: facts.Etcd{Data: true, Log: true, ID: "id-" + name, Leader: "id-" + names[0], Quorum: true}}}
	}
	return l
}

// bare are hosts that have nothing yet.
func (l *living) bare(names ...string) *living {
	for _, name := range names {
		l.hosts[name] = facts.Host{}
	}
	return l
}

// silent are hosts that do not answer.
func (l *living) silent(names ...string) *living {
	for _, name := range names {
		delete(l.hosts, name)
	}
	return l
}

// member changes one that is listed.
func (l *living) member(name string, change func(*facts.EtcdMember)) *living {
	for i := range l.members {
		if l.members[i].Name == name {
			change(&l.members[i])
		}
	}
	return l
}

// host changes what one says.
func (l *living) host(name string, change func(*facts.Etcd)) *living {
	h := l.hosts[name]
	change(&h.Kubernetes.Etcd)
	l.hosts[name] = h
	return l
}

func (l *living) facts() map[string]facts.Host {
	for name := range l.hosts {
		if h := l.hosts[name]; h.Kubernetes.Etcd.ID != "" {
			h.Kubernetes.Etcd.Members = l.members
			l.hosts[name] = h
		}
	}
	return l.hosts
}

// story is a membership in short: what is done, what waits for what, and what is to be known.
func story(m Membership) string {
	var b strings.Builder
	for _, s := range m.Steps {
		var waits []string
		for _, c := range s.Requires {
			waits = append(waits, c.Name)
		}
		what := ""
		switch r := s.Resources[0].(type) {
		case resource.EtcdMember:
			what = "listed at " + r.PeerURL
		case resource.EtcdVote:
			what = "votes at " + r.PeerURL
		case resource.EtcdMemberAbsent:
			what = "without " + r.MemberID
		}
		fmt.Fprintf(&b, "%s: %s", s.StepID, what)
		if s.Leaves != "" {
			fmt.Fprintf(&b, " (%s leaves)", s.Leaves)
		}
		if len(waits) > 0 {
			fmt.Fprintf(&b, " after %s", strings.Join(waits, " and "))
		}
		b.WriteString("\n")
	}
	for _, h := range []string{"cp1", "cp2", "cp3", "cp4", "cp5"} {
		if m.initial[h] != "" {
			fmt.Fprintf(&b, "%s finds %s\n", h, strings.ReplaceAll(strings.ReplaceAll(m.initial[h], "https://10.0.0.", ""), ":2380", ""))
		}
	}
	for _, p := range m.Problems {
		kind := "note"
		if p.Blocks {
			kind = "blocks"
		}
		if p.Loss != "" {
			kind = "may be overruled"
		}
		fmt.Fprintf(&b, "%s: %s\n", kind, p)
	}
	return b.String()
}

func planes(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "\n- {name: %s, address: 10.0.0.1%s, roles: [control-plane]}", n, n[len(n)-1:])
	}
	return b.String() + "\n- {name: w1, address: 10.0.0.21, roles: [worker]}\n"
}

func TestMembers(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts string // of the file
		is    *living
		left  []string
		want  string
	}{
		{"as it shall be", planes("cp1", "cp2", "cp3"), lives("cp1", "cp2", "cp3"), nil, ""},
		{"one does not answer", planes("cp1", "cp2", "cp3"), lives("cp1", "cp2", "cp3").silent("cp3"), nil, ""},
		{"three to five", planes("cp1", "cp2", "cp3", "cp4", "cp5"), lives("cp1", "cp2", "cp3").bare("cp4", "cp5"), nil, `
cp1 etcd member cp4 comes: listed at https://10.0.0.14:2380
cp1 etcd member cp4 votes: votes at https://10.0.0.14:2380 after cp1 etcd member cp4 comes and cp4 etcd
cp1 etcd member cp5 comes: listed at https://10.0.0.15:2380 after cp1 etcd member cp4 votes
cp1 etcd member cp5 votes: votes at https://10.0.0.15:2380 after cp1 etcd member cp5 comes and cp5 etcd
cp4 finds cp1=11,cp2=12,cp3=13,cp4=14
cp5 finds cp1=11,cp2=12,cp3=13,cp4=14,cp5=15
`},
		{"one was added and has not begun", planes("cp1", "cp2", "cp3"), (&living{hosts: lives("cp1", "cp2").hosts, members: []facts.EtcdMember{
			{ID: "id-cp1", Name: "cp1", PeerURLs: []string{memberURL("cp1")}}, {ID: "id-cp2", Name: "cp2", PeerURLs: []string{memberURL("cp2")}},
			{ID: "id-cp3", Learner: true, PeerURLs: []string{memberURL("cp3")}}}}).bare("cp3"), nil, `
cp1 etcd member cp3 comes: listed at https://10.0.0.13:2380
cp1 etcd member cp3 votes: votes at https://10.0.0.13:2380 after cp1 etcd member cp3 comes and cp3 etcd
cp3 finds cp1=11,cp2=12,cp3=13
`},
		{"one began and does not vote yet", planes("cp1", "cp2", "cp3"), lives("cp1", "cp2", "cp3").member("cp3", func(m *facts.EtcdMember) { m.Learner = true }).
			host("cp3", func(e *facts.Etcd) { e.Learner, e.Quorum = true, false }), nil, `
cp1 etcd member cp3 comes: listed at https://10.0.0.13:2380
cp1 etcd member cp3 votes: votes at https://10.0.0.13:2380 after cp1 etcd member cp3 comes and cp3 etcd
cp3 finds cp1=11,cp2=12,cp3=13
`},
		{"the leader, which is the first, leaves", planes("cp2", "cp3", "cp4"), lives("cp1", "cp2", "cp3").bare("cp4"), []string{"cp1"}, `
cp2 etcd member cp4 comes: listed at https://10.0.0.14:2380
cp2 etcd member cp4 votes: votes at https://10.0.0.14:2380 after cp2 etcd member cp4 comes and cp4 etcd
cp2 etcd member cp1 leaves: without id-cp1 (cp1 leaves) after cp2 etcd member cp4 votes and API servers ask others and cp1 stopped
cp4 finds cp1=11,cp2=12,cp3=13,cp4=14
`},
		{"five to three, the leader last", planes("cp3", "cp4", "cp5"), lives("cp1", "cp2", "cp3", "cp4", "cp5"), []string{"cp1", "cp2"}, `
cp3 etcd member cp2 leaves: without id-cp2 (cp2 leaves) after API servers ask others and cp2 stopped
cp3 etcd member cp1 leaves: without id-cp1 (cp1 leaves) after cp3 etcd member cp2 leaves and cp1 stopped
note: of etcd's members, 1 may fail at the worst moment, when cp2 has left, without the API stopping
`},
		{"three to one", planes("cp1"), lives("cp1", "cp2", "cp3"), []string{"cp2", "cp3"}, `
cp1 etcd member cp2 leaves: without id-cp2 (cp2 leaves) after API servers ask others and cp2 stopped
cp1 etcd member cp3 leaves: without id-cp3 (cp3 leaves) after cp1 etcd member cp2 leaves and cp3 stopped
note: of etcd's members, none may fail at the worst moment, when cp2 has left, without the API stopping
`},
		{"a dead one is replaced: it leaves first", planes("cp1", "cp2", "cp4"), lives("cp1", "cp2", "cp3").silent("cp3").bare("cp4"), []string{"cp3"}, `
cp1 etcd member cp3 leaves: without id-cp3 (cp3 leaves)
cp1 etcd member cp4 comes: listed at https://10.0.0.14:2380 after cp1 etcd member cp3 leaves
cp1 etcd member cp4 votes: votes at https://10.0.0.14:2380 after cp1 etcd member cp4 comes and cp4 etcd
cp4 finds cp1=11,cp2=12,cp4=14
`},
		{"the same name on a new disk", planes("cp1", "cp2", "cp3"), lives("cp1", "cp2", "cp3").bare("cp3"), nil, `
cp1 etcd member cp3 leaves: without id-cp3
cp1 etcd member cp3 comes: listed at https://10.0.0.13:2380 after cp1 etcd member cp3 leaves
cp1 etcd member cp3 votes: votes at https://10.0.0.13:2380 after cp1 etcd member cp3 comes and cp3 etcd
cp3 finds cp1=11,cp2=12,cp3=13
`},
		{"the same name on a new machine at another address", strings.Replace(planes("cp1", "cp2", "cp3"), "10.0.0.13", "10.0.0.19", 1), lives("cp1", "cp2", "cp3").bare("cp3"), nil, `
cp1 etcd member cp3 leaves: without id-cp3
cp1 etcd member cp3 comes: listed at https://10.0.0.19:2380 after cp1 etcd member cp3 leaves
cp1 etcd member cp3 votes: votes at https://10.0.0.19:2380 after cp1 etcd member cp3 comes and cp3 etcd
cp3 finds cp1=11,cp2=12,cp3=19
`},
		{"an address changed", strings.Replace(planes("cp1", "cp2", "cp3"), "10.0.0.13", "10.0.0.19", 1), lives("cp1", "cp2", "cp3").host("cp3", func(e *facts.Etcd) { e.Quorum = false }), nil, `
cp1 etcd member cp3 moves: listed at https://10.0.0.19:2380
`},
		{"an address changed while another member is not well", strings.Replace(planes("cp1", "cp2", "cp3"), "10.0.0.13", "10.0.0.19", 1), lives("cp1", "cp2", "cp3").host("cp2", func(e *facts.Etcd) { e.Quorum = false }), nil, `
cp1 etcd member cp3 moves: listed at https://10.0.0.19:2380 after cp2 well
`},
		{"an address changed while another member does not answer", strings.Replace(planes("cp1", "cp2", "cp3"), "10.0.0.13", "10.0.0.19", 1), lives("cp1", "cp2", "cp3").silent("cp2"), nil, `
blocks: cp3: its member of etcd is to be at another address, and while it moves etcd would have no quorum: cp2 does not answer. Bring back who does not answer or, if that never comes back, take it out of the file first
`},
		{"all addresses changed", strings.NewReplacer("10.0.0.11", "10.0.0.17", "10.0.0.12", "10.0.0.18", "10.0.0.13", "10.0.0.19").Replace(planes("cp1", "cp2", "cp3")), lives("cp1", "cp2", "cp3"), nil, `
cp1 etcd member cp1 moves: listed at https://10.0.0.17:2380
cp1 etcd member cp2 moves: listed at https://10.0.0.18:2380 after cp1 etcd member cp1 moves and cp1 well
cp1 etcd member cp3 moves: listed at https://10.0.0.19:2380 after cp1 etcd member cp2 moves and cp2 well
`},
		{"a control plane becomes a worker", "\n- {name: cp3, address: 10.0.0.13, roles: [worker]}" + planes("cp1", "cp2", "cp4"), lives("cp1", "cp2", "cp3").bare("cp4"), nil, `
cp1 etcd member cp4 comes: listed at https://10.0.0.14:2380
cp1 etcd member cp4 votes: votes at https://10.0.0.14:2380 after cp1 etcd member cp4 comes and cp4 etcd
cp1 etcd member cp3 leaves: without id-cp3 after cp1 etcd member cp4 votes and API servers ask others and cp3 stopped
cp4 finds cp1=11,cp2=12,cp3=13,cp4=14
`},
		{"members move to hosts of their own, and one that leaves speaks for them", "\n- {name: cp4, address: 10.0.0.14, roles: [etcd]}" + planes("cp1"), lives("cp1").bare("cp4"), nil, `
cp1 etcd member cp4 comes: listed at https://10.0.0.14:2380
cp1 etcd member cp4 votes: votes at https://10.0.0.14:2380 after cp1 etcd member cp4 comes and cp4 etcd
cp1 etcd member cp1 leaves: without id-cp1 after cp1 etcd member cp4 votes and API servers ask others and cp1 stopped
cp4 finds cp1=11,cp4=14
`},
		{"one more would be one too many", planes("cp1"), lives("cp1", "cp2", "cp3").silent("cp3"), []string{"cp2"}, `
cp1 etcd member cp2 leaves: without id-cp2 (cp2 leaves) after API servers ask others and cp2 stopped
note: etcd has a member that is none of Kubewright's: cp3 (id-cp3, at https://10.0.0.13:2380). Whoever added it may take it out again, with "etcdctl member remove id-cp3"
blocks: when cp2 has left, 1 of 2 members of etcd would answer, and 2 have to: the cluster would stop. Bring back the members that do not answer, or let their hosts leave first: take them out of the cluster file
`},
		{"one that was taken out comes back with its data", planes("cp1", "cp2", "cp3"), func() *living {
			l := lives("cp1", "cp2", "cp3").host("cp3", func(e *facts.Etcd) { e.ID, e.Quorum = "", false })
			l.members = slices.Delete(l.members, 2, 3)
			return l
		}(), nil, `
blocks: cp3: its etcd member was taken out of the cluster, and its data is that of the one that was. Put it back as it was found, and let it come anew: "kubewright reset cp3" and "kubewright apply"
`},
		{"without a quorum nothing is known", planes("cp1", "cp2", "cp4"), lives("cp1", "cp2", "cp3").silent("cp2", "cp3").host("cp1", func(e *facts.Etcd) { e.Quorum = false }).bare("cp4"), []string{"cp3"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := load(t, c.hosts, "")
			for i := range cl.Hosts {
				cl.Hosts[i].InternalAddresses = []string{cl.Hosts[i].Address}
			}
			m := Members(MembershipInput{Cluster: cl, Etcd: cl.MainEtcd(), Hosts: c.is.facts(), Left: c.left, Stopped: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " stopped"}} },
				Unasked: []plan.Condition{{Name: "API servers ask others"}},
				Well:    func(host string) []plan.Condition { return []plan.Condition{{Name: host + " well"}} }})
			if got := story(m); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}

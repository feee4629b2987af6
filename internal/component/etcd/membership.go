package etcd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Membership is how the members of a cluster that lives become those that there shall be, one after the other: members that do not answer leave first, those whose address changed are
// told so, new ones come as learners and vote when they have caught up, and those that answer leave last. So at no time fewer answer than there were, if that can be.
type Membership struct {
	// Steps are all on the host of one member, which speaks with etcd for them.
	Steps []plan.Step
	// Problems stand in the way, or are to be known.
	Problems []plan.Problem

	initial map[string]string           // of members that have not begun: all whom they find there
	before  map[string][]plan.Condition // by host: what its member waits for before it is started
	votes   map[string][]plan.Condition // by host: that its member votes
	gone    map[string][]plan.Condition // by host: that its member is none any more
	order   []string                    // of hosts whose members leave
	learner map[string]bool             // by host: its member does not vote yet
}

// Votes is that the member of a host votes, which the API server beside it waits for; nothing where it does.
func (m Membership) Votes(host string) []plan.Condition { return m.votes[host] }

// Gone is that the member that was on a host is none any more; nothing where there was none.
func (m Membership) Gone(host string) []plan.Condition { return m.gone[host] }

// Order says whether the member of a host leaves before that of another; hosts without one are first.
func (m Membership) Order(a, b string) int {
	return slices.Index(m.order, a) - slices.Index(m.order, b)
}

// MembershipInput is what a membership is made of.
type MembershipInput struct {
	Cluster *cluster.Cluster
	// Etcd is which of its clusters of etcd it is of.
	Etcd cluster.EtcdCluster
	// Hosts are those that answered, by name: of the cluster file, and those that left it.
	Hosts map[string]facts.Host
	// Left are the names of hosts that left the cluster file, those among them that do not answer included.
	Left []string
	// Stopped is what has to have come true before the member of a host that answers may leave: its API server asks it; may be nil.
	Stopped func(host string) []plan.Condition
	// Unasked is what has to have come true before a member leaves that is well: that no API server on another host asks it; nil if none does.
	Unasked []plan.Condition
	// Well is what has to have come true for the member of a host to be well; may be nil. Members wait for that of others that are told to be elsewhere: until they are started there, they are
	// cut off.
	Well func(host string) []plan.Condition
}

// Members finds out how members come and go. Of a cluster that never was whole, or without a quorum, nothing is known, and nobody does.
func Members(in MembershipInput) Membership {
	m := membership{MembershipInput: in, Membership: Membership{
		initial: map[string]string{}, before: map[string][]plan.Condition{}, votes: map[string][]plan.Condition{}, gone: map[string][]plan.Condition{}, learner: map[string]bool{},
	}}
	m.replaced = map[string]string{}
	m.speaker, m.listed = speaker(in)
	if m.speaker == "" {
		return m.Membership
	}
	m.plan()
	m.Problems = told(m.Etcd, m.Problems)
	return m.Membership
}

// speaker is the first host of the file whose member has a quorum, and the members that it knows; none if there is none. One whose member is to leave speaks only if there is no other.
func speaker(in MembershipInput) (host string, members []facts.EtcdMember) {
	for _, h := range slices.Concat(in.Etcd.Hosts, in.Cluster.Hosts) {
		e := in.Hosts[h.Name].Kubernetes.EtcdOf(in.Etcd.Name)
		votes := slices.ContainsFunc(e.Members, func(m facts.EtcdMember) bool { return m.ID == e.ID && !m.Learner })
		if e.Quorum && votes && in.Hosts[h.Name].Kubernetes.FormedOf(in.Etcd.Name) {
			return h.Name, e.Members
		}
	}
	return "", nil
}

type membership struct {
	MembershipInput
	Membership
	speaker string
	listed  []facts.EtcdMember
	last    []plan.Condition // what the next change waits for
	// replaced are members, by host, whose data is gone: what comes there is not what is listed.
	replaced map[string]string
	// moved is the host whose member is the last that is told to be elsewhere.
	moved string
}

// found is the member of a host: with its address, or with its name, which one has that was begun.
func (m *membership) found(h v1alpha1.Host) (facts.EtcdMember, bool) {
	for _, is := range m.listed {
		if slices.Contains(is.PeerURLs, m.Etcd.PeerURL(h)) {
			return is, true
		}
	}
	for _, is := range m.listed {
		if is.Name == h.Name {
			return is, true
		}
	}
	return facts.EtcdMember{}, false
}

// answers says whether a member that is listed does, with a quorum, as its host says.
func (m *membership) answers(is facts.EtcdMember) bool {
	for _, f := range m.Hosts {
		if e := f.Kubernetes.EtcdOf(m.Etcd.Name); e.ID == is.ID {
			return e.Quorum
		}
	}
	return false
}

func (m *membership) plan() {
	type change struct {
		host   v1alpha1.Host
		member facts.EtcdMember
	}
	var dead, live, moved, learners, fresh []change
	staying := map[string]bool{} // IDs of members that do
	for _, h := range m.Etcd.Hosts {
		is, listed := m.found(h)
		f, answered := m.Hosts[h.Name]
		begun := f.Kubernetes.EtcdOf(m.Etcd.Name).Log
		switch {
		case !answered:
			if listed {
				staying[is.ID] = true // nobody knows whether it is there
			}
		case listed && is.Name != "" && !begun:
			// Its data is gone. What it had promised the others is gone with it, so it cannot go on as the member that it was.
			dead, fresh = append(dead, change{h, is}), append(fresh, change{host: h})
			m.replaced[h.Name] = is.ID
		case listed && begun && f.Kubernetes.EtcdOf(m.Etcd.Name).ID != "" && f.Kubernetes.EtcdOf(m.Etcd.Name).ID != is.ID,
			!listed && begun:
			m.Problems = append(m.Problems, plan.Problem{Host: h.Name, Blocks: true,
				Message: "its etcd member was taken out of the cluster, and its data is that of the one that was",
				Remedy:  fmt.Sprintf("Put it back as it was found, and let it come anew: \"kubewright reset %s\" and \"kubewright apply\"", h.Name)})
			staying[is.ID] = true
		case !listed:
			fresh = append(fresh, change{host: h})
		default:
			staying[is.ID] = true
			if !slices.Contains(is.PeerURLs, m.Etcd.PeerURL(h)) {
				moved = append(moved, change{h, is})
			}
			if is.Learner {
				learners = append(learners, change{h, is})
			}
		}
	}
	for _, is := range m.listed {
		if staying[is.ID] || slices.ContainsFunc(dead, func(c change) bool { return c.member.ID == is.ID }) {
			continue
		}
		name := m.nameOf(is)
		if name == "" {
			m.Problems = append(m.Problems, plan.Problem{
				Message: fmt.Sprintf("etcd has a member that is none of Kubewright's: %s (%s, at %s)", orUnnamed(is.Name), is.ID, strings.Join(is.PeerURLs, ", ")),
				Remedy:  "Whoever added it may take it out again, with \"etcdctl member remove " + is.ID + "\""})
			continue
		}
		c := change{v1alpha1.Host{Name: name}, is}
		if m.answers(is) && !is.Learner {
			live = append(live, c)
		} else {
			dead = append(dead, c)
		}
	}
	// The one that leads goes last, so that leadership moves once.
	leader := m.Hosts[m.speaker].Kubernetes.EtcdOf(m.Etcd.Name).Leader
	slices.SortStableFunc(live, func(a, b change) int { return boolean(a.member.ID == leader) - boolean(b.member.ID == leader) })

	path := m.path()
	for _, c := range dead {
		m.leaves(c.host.Name, c.member)
		path.leaves(c.member, false)
	}
	for _, c := range moved {
		m.moves(c.host)
	}
	for _, c := range append(learners, fresh...) {
		m.comes(c.host)
		path.comes()
	}
	if len(live) > 0 {
		m.last = slices.Concat(m.last, m.Unasked)
	}
	for _, c := range live {
		m.leaves(c.host.Name, c.member)
		path.leaves(c.member, true)
	}
	m.Problems = append(m.Problems, path.problems(m.Etcd)...)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func orUnnamed(name string) string {
	if name == "" {
		return "one without a name"
	}
	return name
}

// nameOf is the host that carries a member, or did: one of the file, which shall carry none any more, or one that left it; empty if there is none.
func (m *membership) nameOf(is facts.EtcdMember) string {
	known := slices.Clone(m.Left)
	for _, h := range m.Cluster.Hosts {
		known = append(known, h.Name)
	}
	if slices.Contains(known, is.Name) {
		return is.Name
	}
	for name, f := range m.Hosts { // one that was not begun has no name yet
		if f.Kubernetes.EtcdOf(m.Etcd.Name).ID == is.ID {
			return name
		}
	}
	return ""
}

// servers are the members that may be asked, that of the host that speaks first.
func (m *membership) servers() []string {
	list := []string{m.Etcd.LocalURL(*m.Cluster.Host(m.speaker))}
	for _, h := range m.Etcd.Hosts {
		if _, listed := m.found(h); listed && h.Name != m.speaker {
			list = append(list, m.Etcd.ClientURL(h))
		}
	}
	return list
}

// step appends one that waits for the change before it.
func (m *membership) step(name, leaves string, requires []plan.Condition, r ...resource.Resource) plan.Condition {
	id := plan.StepID{Host: m.speaker, Name: name}
	m.Steps = append(m.Steps, plan.Step{StepID: id, Leaves: leaves, Resources: r, Requires: slices.Concat(m.last, requires)})
	done := plan.After(id)
	m.last = []plan.Condition{done}
	return done
}

func (m *membership) leaves(host string, is facts.EtcdMember) {
	leaving := ""
	var stopped []plan.Condition
	if m.Cluster.Host(host) == nil {
		leaving = host
	}
	// An API server beside a member that serves nobody has nothing to lose, and must not keep those from coming that take its place.
	if _, answers := m.Hosts[host]; answers && !m.Etcd.Carries(host) && m.Stopped != nil && m.answers(is) && !is.Learner {
		stopped = m.Stopped(host)
	}
	servers := m.servers()
	if host == m.speaker { // others see it to its end
		servers = append(servers[1:], servers[0])
	}
	done := m.step(m.Etcd.Name+" member "+host+" leaves", leaving, stopped, resource.EtcdMemberAbsent{Client: client(m.Etcd), Servers: servers, MemberID: is.ID, Name: host})
	m.gone[host], m.order = []plan.Condition{done}, append(m.order, host)
	m.listed = slices.DeleteFunc(slices.Clone(m.listed), func(other facts.EtcdMember) bool { return other.ID == is.ID })
}

func (m *membership) moves(h v1alpha1.Host) {
	requires, silent := m.enoughWithout(h.Name)
	if len(silent) > 0 {
		m.Problems = append(m.Problems, plan.Problem{Host: h.Name, Blocks: true,
			Message: fmt.Sprintf("its member of etcd is to be at another address, and while it moves etcd would have no quorum: %s not answer", do(silent)),
			Remedy:  "Bring back who does not answer or, if that never comes back, take it out of the file first"})
		return
	}
	m.moved = h.Name
	done := m.step(m.Etcd.Name+" member "+h.Name+" moves", "", requires, resource.EtcdMember{Client: client(m.Etcd), Servers: m.servers(), Name: h.Name, PeerURL: m.Etcd.PeerURL(h)})
	m.before[h.Name] = append(m.before[h.Name], done)
	for i := range m.listed {
		if m.listed[i].Name == h.Name {
			m.listed = slices.Clone(m.listed)
			m.listed[i].PeerURLs = []string{m.Etcd.PeerURL(h)}
		}
	}
}

// enoughWithout is what a member waits for that is about to be cut off for a while: the one that was moved before it and, if those that are well are no quorum without it, all that are not.
// Those of them that do not answer cannot be waited for.
func (m *membership) enoughWithout(host string) (requires []plan.Condition, silent []string) {
	if m.Well == nil {
		return nil, nil
	}
	if m.moved != "" {
		requires = m.Well(m.moved)
	}
	members, well, unwell := m.Etcd.Hosts, 0, []string{}
	for _, h := range members {
		switch f, answered := m.Hosts[h.Name]; {
		case h.Name == host:
		case f.Kubernetes.EtcdOf(m.Etcd.Name).Quorum:
			well++
		case !answered:
			silent = append(silent, h.Name)
		case h.Name != m.moved:
			unwell = append(unwell, h.Name)
		}
	}
	if well > len(members)/2 {
		return requires, nil
	}
	for _, other := range unwell {
		requires = append(requires, m.Well(other)...)
	}
	return requires, silent
}

func (m *membership) comes(h v1alpha1.Host) {
	servers := m.servers()
	if _, listed := m.found(h); !listed {
		m.listed = append(slices.Clone(m.listed), facts.EtcdMember{Name: h.Name, Learner: true, PeerURLs: []string{m.Etcd.PeerURL(h)}})
	}
	m.initial[h.Name], m.learner[h.Name] = m.initialFor(h), true
	replaces := m.replaced[h.Name]
	added := m.step(m.Etcd.Name+" member "+h.Name+" comes", "", nil, resource.EtcdMember{Client: client(m.Etcd), Servers: servers, Name: h.Name, PeerURL: m.Etcd.PeerURL(h), Replaces: replaces})
	m.before[h.Name] = append(m.before[h.Name], added)
	started := plan.After(plan.StepID{Host: h.Name, Name: StepOf(m.Etcd)})
	m.votes[h.Name] = []plan.Condition{m.step(m.Etcd.Name+" member "+h.Name+" votes", "", []plan.Condition{started}, resource.EtcdVote{Client: client(m.Etcd), Servers: servers, Name: h.Name, PeerURL: m.Etcd.PeerURL(h), Replaces: replaces})}
}

// initialFor are all members that a new one finds there, itself among them: etcd compares them with those that are listed (ValidateClusterAndAssignIDs in
// server/etcdserver/api/membership/cluster.go of v3.7).
func (m *membership) initialFor(h v1alpha1.Host) string {
	var list []string
	for _, is := range m.listed {
		name := is.Name
		if slices.Contains(is.PeerURLs, m.Etcd.PeerURL(h)) {
			name = h.Name
		}
		for _, url := range is.PeerURLs {
			list = append(list, name+"="+url)
		}
	}
	return strings.Join(list, ",")
}

// quorumPath is how many members vote and answer, change after change.
type quorumPath struct {
	voters, answer int
	least          int    // how many of those that answer could be missed at the worst moment
	at             string // when that is: "when m2 has left"
	broken         string // the first change that would leave too few
	changes        bool
}

func (m *membership) path() *quorumPath {
	p := &quorumPath{}
	for _, is := range m.listed {
		if is.Learner {
			continue
		}
		p.voters++
		p.answer += boolean(m.answers(is))
	}
	p.least = p.margin()
	return p
}

func (p *quorumPath) margin() int { return p.answer - (p.voters/2 + 1) }

func (p *quorumPath) leaves(is facts.EtcdMember, answers bool) {
	if !is.Learner {
		p.voters--
		p.answer -= boolean(answers)
	}
	p.note("when " + orUnnamed(is.Name) + " has left")
}

func (p *quorumPath) comes() {
	p.voters++
	p.answer++
	p.note("when a new one votes")
}

func (p *quorumPath) note(at string) {
	p.changes = true
	if m := p.margin(); m < p.least {
		p.least, p.at = m, at
	}
	if p.margin() < 0 && p.broken == "" {
		p.broken = fmt.Sprintf("%s, %d of %d members of etcd would answer, and %d have to", at, p.answer, p.voters, p.voters/2+1)
	}
}

// problems say what is lost on the way, or what must not be. That a change would leave too few members cannot be overruled (plan.Problem.Loss), for it could not be made: without those that
// do not answer etcd has no quorum to agree to the removal, so resource.EtcdMemberAbsent and etcd itself (mayRemoveMember in server/etcdserver/server.go of v3.7) refuse it, and by then the
// host would have been drained and its API server ended for nothing. Nobody has to overrule it either: the members still have a quorum, by which those leave that never come back.
func (p *quorumPath) problems(e cluster.EtcdCluster) []plan.Problem {
	stops, without := "the cluster would stop", "without the API stopping"
	if e.Events() {
		stops, without = "no events would be stored", "without events being lost"
	}
	switch {
	case p.broken != "":
		return []plan.Problem{{Blocks: true, Message: p.broken + ": " + stops,
			Remedy: "Bring back the members that do not answer, or let their hosts leave first: take them out of the cluster file"}}
	case p.changes && p.at != "":
		return []plan.Problem{{Careful: true, Message: fmt.Sprintf("of etcd's members, %s may fail at the worst moment, %s, %s", count(p.least), p.at, without)}}
	}
	return nil
}

func count(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

package etcd

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// Guard says why members may not be started, so that no second cluster is ever made over one that lives or once lived. Members that are made of nothing form a new cluster by
// themselves as soon as most of them agree: what was there before would be lost to it. hosts are those that answered, by name: of the file, and those that left it.
//
// None of it can be overruled (plan.Problem.Loss). To make members of nothing although others may live is a second cluster, whose price nobody can name; where a cluster lives without a
// quorum, no member could come, since etcd changes nothing then. "etcd recover" is for that, and says what it loses itself.
func Guard(c *cluster.Cluster, e cluster.EtcdCluster, hosts map[string]facts.Host) []plan.Problem {
	g := guard{cluster: c, etcd: e, members: e.Hosts, hosts: hosts}
	return told(e, g.problems())
}

// told are problems with members of a cluster of etcd. Where it is not the main one, they say so.
func told(e cluster.EtcdCluster, problems []plan.Problem) []plan.Problem {
	if e.Events() {
		for i := range problems {
			problems[i].Message = "etcd for events: " + problems[i].Message
		}
	}
	return problems
}

func (g guard) problems() []plan.Problem {
	if g.formed() {
		return g.living()
	}
	if problems := g.unknown(); len(problems) > 0 {
		return problems
	}
	if len(g.withData()) == 0 {
		return g.foreign()
	}
	if !g.authority() {
		return []plan.Problem{{Blocks: true,
			Message: fmt.Sprintf("%s data of etcd, and no host that answered has an authority of a cluster", have(g.withData())),
			Remedy: "It is of a cluster that is damaged, or of another one: bring back /etc/kubernetes/pki on a control plane, or move the data away if nobody " +
				"needs it"}}
	}
	return g.begun()
}

// guard is what is asked.
type guard struct {
	cluster *cluster.Cluster
	members []v1alpha1.Host
	hosts   map[string]facts.Host
	etcd    cluster.EtcdCluster
}

// formed says whether any host remembers that the cluster was whole.
func (g guard) formed() bool {
	for _, f := range g.hosts {
		if f.Kubernetes.FormedOf(g.etcd.Name) {
			return true
		}
	}
	return false
}

// authority says whether any host has one.
func (g guard) authority() bool {
	for _, f := range g.hosts {
		if len(f.Kubernetes.Authorities) > 0 {
			return true
		}
	}
	return false
}

// withData are the members that have data, in the order of the file.
func (g guard) withData() []string {
	var list []string
	for _, h := range g.members {
		if g.hosts[h.Name].Kubernetes.EtcdOf(g.etcd.Name).Data {
			list = append(list, h.Name)
		}
	}
	return list
}

// initial are the names of the first members, as far as those that have data know, in order; nothing if none of them knows.
func (g guard) initial() []string {
	names := map[string]bool{}
	for _, f := range g.hosts {
		if !f.Kubernetes.EtcdOf(g.etcd.Name).Data || f.Kubernetes.EtcdOf(g.etcd.Name).InitialCluster == "" {
			continue
		}
		for m := range strings.SplitSeq(f.Kubernetes.EtcdOf(g.etcd.Name).InitialCluster, ",") {
			name, _, _ := strings.Cut(m, "=")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// living is for a cluster that was whole: a member that has no data comes to those that there are, and only to a quorum of them.
func (g guard) living() []plan.Problem {
	problems := g.ports()
	speaker, _ := speaker(MembershipInput{Cluster: g.cluster, Etcd: g.etcd, Hosts: g.hosts})
	if speaker == "" && g.elsewhere() != "" {
		return []plan.Problem{{Blocks: true,
			Message: fmt.Sprintf("the cluster's etcd lives on %s, which left the cluster file, and none of the hosts in the file is a member that has a quorum", g.elsewhere()),
			Remedy:  "Leave at least one of its members in the file until the others have come"}}
	}
	for _, name := range g.places() {
		if e := g.hosts[name].Kubernetes.EtcdOf(g.etcd.Name); g.movesData(e) {
			problems = append(problems, plan.Problem{Host: name, Blocks: true,
				Message: fmt.Sprintf("its etcd member has its data in %s, and the file says %s: a member that starts there is made of nothing", e.DataDir, g.etcd.DataDir),
				Remedy:  "Say " + g.etcd.Field + ".dataDir: " + e.DataDir})
		}
	}
	for _, h := range g.members {
		f, answered := g.hosts[h.Name]
		switch {
		case g.movesData(f.Kubernetes.EtcdOf(g.etcd.Name)): // it is said
		case !answered || f.Kubernetes.EtcdOf(g.etcd.Name).Log || speaker != "":
		case f.Kubernetes.FormedOf(g.etcd.Name) || slices.Contains(g.initial(), h.Name):
			problems = append(problems, plan.Problem{Host: h.Name, Blocks: true,
				Message: "the data of its etcd member is gone, and no member that has a quorum answers: one made of nothing would be of a second cluster",
				Remedy:  "Bring the others back first; then it is taken out of the cluster and comes anew" + g.orRecover()})
		default:
			problems = append(problems, plan.Problem{Host: h.Name, Blocks: true,
				Message: "it shall carry a member of etcd that the cluster does not have, and no member that has a quorum answers: members come only to one",
				Remedy:  "Bring the others back first" + g.orRecover()})
		}
	}
	return problems
}

// places are all hosts that can have a member: those that shall, in the order of the file, and all others that answered, by name: members move away from those.
func (g guard) places() []string {
	var list []string
	for _, h := range g.members {
		list = append(list, h.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(g.hosts)) {
		if !g.etcd.Carries(name) {
			list = append(list, name)
		}
	}
	return list
}

// movesData says whether the data of a member is elsewhere than the file says.
func (g guard) movesData(e facts.Etcd) bool {
	return e.Data && e.DataDir != "" && e.DataDir != g.etcd.DataDir
}

// ports says which ports of members that live the file would change. Others find a member where it said that it is when it came, and API servers ask it where their own flags say: both would
// have to change everywhere at once. Where none of the members has what the file says, the file was changed; one that differs alone was changed by hand, and is repaired.
func (g guard) ports() []plan.Problem {
	var problems []plan.Problem
	for _, p := range []struct {
		name string
		want int
		is   func(facts.Etcd) string
	}{
		{"clientPort", g.etcd.ClientPort, func(e facts.Etcd) string { return e.ClientURL }},
		{"peerPort", g.etcd.PeerPort, func(e facts.Etcd) string { return e.PeerURL }},
	} {
		has, on, same := "", "", false
		for _, name := range g.places() {
			e := g.hosts[name].Kubernetes.EtcdOf(g.etcd.Name)
			is := portOf(p.is(e))
			same = same || is == strconv.Itoa(p.want)
			if is != "" && e.Log && on == "" {
				has, on = is, name
			}
		}
		if on != "" && !same {
			field := g.etcd.Field + "." + p.name
			problems = append(problems, plan.Problem{Blocks: true,
				Message: fmt.Sprintf("%s cannot be changed on a cluster that lives: it has %s (%s), and the file says %d; members and API servers know each member by the port that it came with", field, has, on, p.want),
				Remedy:  fmt.Sprintf("Say %s: %s. If somebody changed it by hand on %s, put it back there", field, has, on)})
		}
	}
	return problems
}

// portOf is the port of a URL; nothing if it has none.
func portOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Port()
}

// orRecover names a host of the file that answers and has data of a member, of which the cluster can be made again if the others are lost for good; nothing if there is none.
func (g guard) orRecover() string {
	for _, h := range g.members {
		if e := g.hosts[h.Name].Kubernetes.EtcdOf(g.etcd.Name); e.Log && !e.Learner {
			return fmt.Sprintf(". If they are gone for good, \"kubewright etcd recover%s --from %s\" goes on with what %s has", recovers(g.etcd), h.Name, h.Name)
		}
	}
	return ""
}

// recovers is the flag of "etcd recover" that says which.
func recovers(e cluster.EtcdCluster) string {
	if e.Events() {
		return " --events"
	}
	return ""
}

// elsewhere is a host that left the cluster file and has a member with a quorum; empty if there is none.
func (g guard) elsewhere() string {
	for _, name := range slices.Sorted(maps.Keys(g.hosts)) {
		if g.cluster.Host(name) == nil && g.hosts[name].Kubernetes.EtcdOf(g.etcd.Name).Quorum {
			return name
		}
	}
	return ""
}

// unknown is for a cluster that was never whole: all members have to be seen before any may be started.
func (g guard) unknown() []plan.Problem {
	var silent []string
	for _, h := range g.members {
		if _, answered := g.hosts[h.Name]; !answered {
			silent = append(silent, h.Name)
		}
	}
	if len(silent) == 0 {
		return nil
	}
	return []plan.Problem{{Blocks: true,
		Message: fmt.Sprintf("%s not answer, and shall carry etcd: a cluster that was never whole is started only if all of its members' hosts answer, since there may "+
			"be one already", do(silent)),
		Remedy: "Make them reachable, or take them out of the cluster file"}}
}

// foreign is for members that have no data: only what Kubewright began may be there.
func (g guard) foreign() []plan.Problem {
	if g.authority() || g.etcd.Events() { // of the other it is said
		return nil // it began: authorities come before manifests
	}
	var problems []plan.Problem
	for _, h := range g.members {
		if m := g.hosts[h.Name].Kubernetes.Manifests; len(m) > 0 {
			problems = append(problems, plan.Problem{Blocks: true,
				Message: fmt.Sprintf("%s has manifests of static Pods (%s), and no host that answered has an authority of a cluster",
					h.Name, strings.Join(slices.Sorted(maps.Keys(m)), ", ")),
				Remedy: "They are of a cluster that is damaged, or of another one: bring back /etc/kubernetes/pki on a control plane, or move them away if nobody needs " +
					"them"})
		}
	}
	return problems
}

// begun is for a first run that was interrupted: it goes on with the members that it began with.
func (g guard) begun() []plan.Problem {
	var now []string
	for _, h := range g.members {
		now = append(now, h.Name)
	}
	slices.Sort(now)
	first := g.initial()
	if len(first) == 0 || slices.Equal(first, now) {
		return nil
	}
	return []plan.Problem{{Blocks: true,
		Message: fmt.Sprintf("the cluster was begun with etcd on %s and was never whole, and the cluster file has etcd on %s now", and(first), and(now)),
		Remedy:  "Put the hosts back as they were until it is whole, or begin anew with \"kubewright reset\""}}
}

func have(names []string) string { return verb(names, "has", "have") }
func do(names []string) string   { return verb(names, "does", "do") }

func verb(names []string, one, more string) string {
	if len(names) == 1 {
		return names[0] + " " + one
	}
	return and(names) + " " + more
}

func and(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

package etcd

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// oldestExternal is the oldest etcd that API servers are used with (MinExternalEtcdVersion in cmd/kubeadm/app/constants of Kubernetes v1.36 and v1.37).
const oldestExternal = "3.5.24"

// External is what control planes find an etcd of the user's to be, and who remembers what of it.
type External struct {
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name: of the file, and those that left it.
	Hosts map[string]facts.Host
	// Silent are control planes that did not answer, of the file or such that left it.
	Silent []string
	// Found is what control planes of the file were told, by their names.
	Found map[string]ExternalFound
}

// ExternalFound is what a control plane was told by an etcd of the user's, endpoint by endpoint.
type ExternalFound struct {
	// File is what it was told when it came with what the cluster file says, at the endpoints of the file and at those that API servers have now.
	File []etcd.Server
	// Machine is what it was told at these when it came with what it has itself; nothing if it has nothing.
	Machine []etcd.Server
}

// ExternalQuestions ask it from a control plane: with what the cluster file says, and with what the machine has if it has been one of a cluster that lives.
func ExternalQuestions(c *cluster.Cluster, hosts map[string]facts.Host, host string) (file resource.ExternalEtcdReport, machine *resource.ExternalEtcdReport) {
	e := external(c)
	for _, url := range serversNow(hosts) {
		if !slices.Contains(e.Endpoints, url) {
			e.Endpoints = append(slices.Clone(e.Endpoints), url)
		}
	}
	if hosts[host].Kubernetes.External != "" {
		machine = &resource.ExternalEtcdReport{ExternalEtcd: e}
	}
	e.Access = &resource.ExternalEtcdAccess{Authority: c.EtcdAccess.Authority, Certificate: c.EtcdAccess.Certificate, Key: c.EtcdAccess.Key}
	return resource.ExternalEtcdReport{ExternalEtcd: e}, machine
}

// ExternalReport looks at the user's etcd from a control plane that lives.
func ExternalReport(c *cluster.Cluster) resource.ExternalEtcdReport {
	return resource.ExternalEtcdReport{ExternalEtcd: external(c)}
}

func external(c *cluster.Cluster) resource.ExternalEtcd {
	return resource.ExternalEtcd{Endpoints: c.Etcd.External.Endpoints, Prefix: c.Etcd.External.Prefix}
}

// serversNow are those that API servers ask by now, in the order of the hosts' names.
func serversNow(hosts map[string]facts.Host) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		for url := range strings.SplitSeq(hosts[name].Kubernetes.Settings[facts.EtcdServers], ",") {
			if url != "" && !slices.Contains(list, url) {
				list = append(list, url)
			}
		}
	}
	return list
}

// Steps give each control plane that answered what it comes to the user's etcd with, and have it remember which one that is when the API answers. None, if the cluster has members of its own. After is what
// the first step on a host waits for, served is that the API answers.
func (x External) Steps(after func(host string) []plan.Condition, served []plan.Condition) []plan.Step {
	if !x.wanted() {
		return nil
	}
	var steps []plan.Step
	for _, h := range x.Cluster.With(v1alpha1.ControlPlane) {
		if _, answered := x.Hosts[h.Name]; !answered {
			continue
		}
		a := x.Cluster.EtcdAccess
		key := resource.NewFile(resource.ExternalEtcdDir+"/client.key", string(a.Key))
		key.Mode, key.Secret = 0o600, true
		s := plan.Step{
			StepID: plan.StepID{Host: h.Name, Name: Step}, Requires: after(h.Name),
			Resources: []resource.Resource{
				resource.Directory{Path: resource.ExternalEtcdDir, Mode: 0o700},
				resource.NewFile(resource.ExternalEtcdDir+"/ca.crt", string(a.Authority)),
				resource.NewFile(resource.ExternalEtcdDir+"/client.crt", string(a.Certificate)),
				key,
			},
			Ensures: []resource.Probe{resource.ExternalEtcdAnswers{ExternalEtcd: external(x.Cluster)}},
		}
		if x.lives() {
			s.Group = cluster.GroupOf(h) // an API server that lives reads them with each connection: one at a time
		}
		steps = append(steps, s)
		if id := x.id(); id != "" {
			steps = append(steps, plan.Step{
				StepID:    plan.StepID{Host: h.Name, Name: Formed},
				Resources: []resource.Resource{resource.NewFile(facts.ExternalFile, externalText+facts.ExternalCluster+id+"\n")},
				Requires:  append([]plan.Condition{plan.After(s.StepID)}, served...),
			})
		}
	}
	return steps
}

const externalText = `Kubewright wrote this when the API had answered that keeps what it stores in an etcd of your own. While it is here, no other etcd is taken for that
one, and no members are made in its place.
`

// wanted says whether there is to be one; by the zero value there is not.
func (x External) wanted() bool { return x.Cluster != nil && x.Cluster.Etcd.External.Wanted() }

// lives says whether the cluster has lived.
func (x External) lives() bool {
	for _, f := range x.Hosts {
		if f.Kubernetes.Formed {
			return true
		}
	}
	return false
}

// remembered are the clusters of etcd that hosts remember, sorted: one.
func (x External) remembered() []string {
	ids := map[string]bool{}
	for _, f := range x.Hosts {
		if id := f.Kubernetes.External; id != "" {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// id is the cluster of etcd that the cluster file names, as its endpoints say, or else as hosts remember; empty if nobody knows, or they contradict each other.
func (x External) id() string {
	id := ""
	for _, s := range x.servers() {
		switch {
		case s.Cluster == "" || !slices.Contains(x.Cluster.Etcd.External.Endpoints, s.URL):
		case id == "":
			id = s.Cluster
		case id != s.Cluster:
			return ""
		}
	}
	if known := x.remembered(); id == "" && len(known) == 1 {
		return known[0]
	}
	return id
}

// servers are all that were asked, as whoever was told most of it says, in the order of their URLs.
func (x External) servers() []etcd.Server {
	all := map[string]etcd.Server{}
	for _, name := range slices.Sorted(maps.Keys(x.Found)) {
		for _, s := range slices.Concat(x.Found[name].File, x.Found[name].Machine) {
			if known, is := all[s.URL]; !is || known.Cluster == "" || known.Unwell != "" && s.Cluster != "" && s.Unwell == "" {
				all[s.URL] = s
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b etcd.Server) int { return strings.Compare(a.URL, b.URL) })
}

// ExternalGuard says whether the cluster has its data in an etcd of another kind than the cluster file says. hosts are those that answered, by name.
func ExternalGuard(c *cluster.Cluster, hosts map[string]facts.Host) []plan.Problem {
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		switch k := hosts[name].Kubernetes; {
		case c.Etcd.External.Wanted() && (k.Formed && k.External == "" || k.Etcd.Data && k.Manifests[facts.MainEtcd+".yaml"] != ""):
			return []plan.Problem{{Blocks: true, Message: fmt.Sprintf("etcd.external cannot be asked for on a cluster that lives: it has its data in members of its own (%s), and that is not moved", name),
				Remedy: "Take etcd.external out of the cluster file; a cluster with another etcd is a new one"}}
		case !c.Etcd.External.Wanted() && k.External != "":
			return []plan.Problem{{Blocks: true, Message: fmt.Sprintf("etcd.external cannot be taken back on a cluster that lives: it has its data in that etcd (%s), and that is not moved", name),
				Remedy: "Put etcd.external back into the cluster file"}}
		}
	}
	return nil
}

// Problems are what is wrong with it. One of another cluster must never be written over, and one that lives must never be led to another etcd than its own.
func (x External) Problems() []plan.Problem {
	if !x.wanted() || len(x.Found) == 0 {
		return nil
	}
	p := externalProblems{External: x}
	p.ways()
	p.which()
	p.health()
	p.content()
	return p.list
}

// externalProblems are what is wrong with it, as it is found.
type externalProblems struct {
	External
	list []plan.Problem
}

func (p *externalProblems) say(blocks bool, remedy, format string, values ...any) {
	one := plan.Problem{Blocks: blocks, Careful: !blocks, Message: fmt.Sprintf(format, values...), Remedy: remedy}
	if !slices.ContainsFunc(p.list, func(o plan.Problem) bool { return o.Message == one.Message }) {
		p.list = append(p.list, one)
	}
}

// begun says whether an API server was made for what the cluster file says: what is there may be its own.
func (p *externalProblems) begun() bool {
	e := p.Cluster.Etcd.External
	for _, f := range p.Hosts {
		of := f.Kubernetes.Settings
		if of[facts.EtcdPrefix] == e.Prefix && slices.ContainsFunc(strings.Split(of[facts.EtcdServers], ","), func(url string) bool { return slices.Contains(e.Endpoints, url) }) {
			return true
		}
	}
	return false
}

// ways are those from each control plane to each endpoint of the file. API servers go on with those that answer; what they do not ask yet has to answer first.
func (p *externalProblems) ways() {
	now, tells := serversNow(p.Hosts), map[string]bool{}
	for _, s := range p.servers() {
		tells[s.URL] = s.Cluster != ""
	}
	for _, name := range slices.Sorted(maps.Keys(p.Found)) {
		well := 0
		var why, unknown []string
		for _, s := range p.Found[name].File {
			switch {
			case !slices.Contains(p.Cluster.Etcd.External.Endpoints, s.URL):
			case s.Unwell == "":
				well++
			case !tells[s.URL] && !slices.Contains(now, s.URL):
				unknown = append(unknown, s.URL+": "+s.Unwell)
			default:
				why = append(why, s.URL+": "+s.Unwell)
			}
		}
		otherwise := slices.ContainsFunc(p.Found[name].Machine, func(s etcd.Server) bool { return s.Unwell == "" })
		switch {
		case well == 0 && otherwise: // its API server would be cut off
			p.say(true, "Correct etcd.external.ca, certificate and key; nothing was changed", "your etcd: %s is let in with what it has, and not with what the cluster file says: %s", name, strings.Join(append(why, unknown...), "; "))
		case well == 0: // its API server would not start
			p.say(!p.lives() || len(unknown) > 0, "See that it runs, and that control planes reach it; etcd.external says where it is and what it is asked with", "your etcd: from %s no member answers: %s", name, strings.Join(append(why, unknown...), "; "))
		case len(unknown) > 0:
			p.say(true, "Bring it back, or leave it out until it answers: it could be of another etcd", "your etcd: an endpoint has to answer before API servers are told of it; from %s: %s", name, strings.Join(unknown, "; "))
		}
		if well > 0 && len(why) > 0 {
			p.say(false, "Bring back those that do not answer; API servers ask the others meanwhile", "your etcd: from %s not all members answer: %s", name, strings.Join(why, "; "))
		}
	}
}

// which says whether it is one etcd, and that which the cluster has had.
func (p *externalProblems) which() {
	if apart := etcd.Apart(p.servers()); len(apart) > 0 {
		var sides []string
		for _, urls := range apart {
			sides = append(sides, strings.Join(urls, ", "))
		}
		remedy := "Name members of one"
		if p.lives() {
			remedy = "Name members of the one that the cluster has its data in: API servers ask " + strings.Join(serversNow(p.Hosts), ", ")
		}
		p.say(true, remedy, "your etcd: these are members of different clusters: %s", strings.Join(sides, " and "))
		return
	}
	known := p.remembered()
	for _, s := range p.servers() {
		if s.Cluster == "" || len(known) == 0 || slices.Contains(known, s.Cluster) {
			continue
		}
		p.list = append(p.list, plan.Problem{Blocks: true,
			Message: fmt.Sprintf("your etcd: %s is of the cluster %s of etcd, and this cluster has its data in another one, %s", s.URL, s.Cluster, strings.Join(known, ", ")),
			Remedy:  "Name the one that it had. One that was restored from a snapshot has another name, and the same data",
			Loss:    "if it is not the same data, restored from a snapshot, all that the cluster stores is gone for it, and what is there becomes its own"})
		return
	}
}

// health is about each that answered.
func (p *externalProblems) health() {
	for _, s := range p.servers() {
		if s.Version != "" && semver.Compare("v"+s.Version, "v"+oldestExternal) < 0 {
			p.say(!p.lives(), "Upgrade it", "your etcd: %s is of version %s, and Kubernetes wants %s or newer", s.URL, s.Version, oldestExternal)
		}
		for _, a := range s.Alarms {
			p.say(!p.lives(), "NOSPACE: \"etcdctl compact\", \"etcdctl defrag\", then \"etcdctl alarm disarm\"; CORRUPT says that members differ: replace the one that does", "your etcd: it has the alarm %s", a)
		}
	}
}

// content is whether there is what there has to be, and nothing that must not be.
func (p *externalProblems) content() {
	e := p.Cluster.Etcd.External
	asked, holds := false, int64(0)
	for _, s := range p.servers() {
		if s.Unwell == "" && slices.Contains(e.Endpoints, s.URL) {
			asked, holds = true, max(holds, s.Holds)
		}
	}
	switch {
	case !asked:
	case p.lives() && holds == 0:
		p.say(true, "See that it is the etcd that the cluster had, and that its data is there", "your etcd: it holds nothing below %s, and the cluster has lived", e.Prefix)
	case p.lives() || p.begun() || holds == 0:
	case len(p.Silent) > 0:
		p.say(true, "Bring them back, and run again", "your etcd: it holds %d objects below %s, which may be this cluster's own: %s not answer, and could say", holds, e.Prefix, do(p.Silent))
	default:
		p.say(true, "Say another etcd.external.prefix, or another etcd. If nobody needs what is there: \"etcdctl del --prefix "+e.Prefix+"/\"",
			"your etcd: it holds %d objects below %s, which are of another cluster: two would destroy each other", holds, e.Prefix)
	}
}

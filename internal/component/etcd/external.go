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

// ExternalInput is what steps for an etcd of the user's are made of.
type ExternalInput struct {
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// After is what the step on a host waits for; may be nil.
	After func(host string) []plan.Condition
	// Served is that the API answers.
	Served []plan.Condition
}

// ExternalSteps give each control plane that answered what it comes to the user's etcd with, and have it and others remember that the cluster uses that one. None, if the cluster has members of its own.
func ExternalSteps(in ExternalInput) []plan.Step {
	if !in.Cluster.Etcd.External.Wanted() {
		return nil
	}
	var steps []plan.Step
	for _, h := range in.Cluster.With(v1alpha1.ControlPlane) {
		if _, answered := in.Hosts[h.Name]; !answered {
			continue
		}
		a := in.Cluster.EtcdAccess
		key := resource.NewFile(resource.ExternalEtcdDir+"/client.key", string(a.Key))
		key.Mode, key.Secret = 0o600, true
		s := plan.Step{
			StepID: plan.StepID{Host: h.Name, Name: Step},
			Resources: []resource.Resource{
				resource.Directory{Path: resource.ExternalEtcdDir, Mode: 0o700},
				resource.NewFile(resource.ExternalEtcdDir+"/ca.crt", string(a.Authority)),
				resource.NewFile(resource.ExternalEtcdDir+"/client.crt", string(a.Certificate)),
				key,
			},
			Ensures: []resource.Probe{resource.ExternalEtcdAnswers{ExternalEtcd: external(in.Cluster)}},
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		remembers := plan.Step{
			StepID:    plan.StepID{Host: h.Name, Name: Formed},
			Resources: []resource.Resource{resource.NewFile(facts.ExternalFile, externalText)},
			Requires:  append([]plan.Condition{plan.After(s.StepID)}, in.Served...),
		}
		steps = append(steps, s, remembers)
	}
	return steps
}

const externalText = `Kubewright wrote this when the API had answered that keeps what it stores in an etcd of your own. While it is here, that etcd is never taken for
a new one, and no members are made in its place.
`

func external(c *cluster.Cluster) resource.ExternalEtcd {
	return resource.ExternalEtcd{Endpoints: c.Etcd.External.Endpoints, Prefix: c.Etcd.External.Prefix}
}

// ExternalReport looks at the user's etcd from a control plane that lives.
func ExternalReport(c *cluster.Cluster) resource.ExternalEtcdReport {
	return resource.ExternalEtcdReport{ExternalEtcd: external(c)}
}

// ExternalQuestion looks at it from a control plane that may not live yet, and wherever API servers have their data now.
func ExternalQuestion(c *cluster.Cluster, hosts map[string]facts.Host) resource.ExternalEtcdReport {
	e := external(c)
	for _, url := range serversNow(c, hosts) {
		if !slices.Contains(e.Endpoints, url) {
			e.Endpoints = append(slices.Clone(e.Endpoints), url)
		}
	}
	e.Access = &resource.ExternalEtcdAccess{Authority: c.EtcdAccess.Authority, Certificate: c.EtcdAccess.Certificate, Key: c.EtcdAccess.Key}
	return resource.ExternalEtcdReport{ExternalEtcd: e}
}

// serversNow are those that API servers of the cluster ask by now, in the order of the hosts.
func serversNow(c *cluster.Cluster, hosts map[string]facts.Host) []string {
	var list []string
	for _, h := range c.With(v1alpha1.ControlPlane) {
		for url := range strings.SplitSeq(hosts[h.Name].Kubernetes.Settings[facts.EtcdServers], ",") {
			if url != "" && !slices.Contains(list, url) {
				list = append(list, url)
			}
		}
	}
	return list
}

// ExternalGuard says whether the cluster has its data in an etcd of another kind than the cluster file says. hosts are those that answered, by name.
func ExternalGuard(c *cluster.Cluster, hosts map[string]facts.Host) []plan.Problem {
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		switch k := hosts[name].Kubernetes; {
		case c.Etcd.External.Wanted() && (k.Formed && !k.External || k.Etcd.Data && k.Manifests[facts.MainEtcd+".yaml"] != ""):
			return []plan.Problem{{Blocks: true, Message: fmt.Sprintf("etcd.external cannot be asked for on a cluster that lives: it has its data in members of its own (%s), and that is not moved", name),
				Remedy: "Take etcd.external out of the cluster file; a cluster with another etcd is a new one"}}
		case !c.Etcd.External.Wanted() && k.External:
			return []plan.Problem{{Blocks: true, Message: fmt.Sprintf("etcd.external cannot be taken back on a cluster that lives: it has its data in that etcd (%s), and that is not moved", name),
				Remedy: "Put etcd.external back into the cluster file"}}
		}
	}
	return nil
}

// ExternalProblems are what is wrong with an etcd of the user's, as it was found from control planes, by their names. One of another cluster must never be written over, nor one that is empty be
// taken for the cluster's own.
func ExternalProblems(c *cluster.Cluster, hosts map[string]facts.Host, found map[string][]etcd.Server) []plan.Problem {
	e := c.Etcd.External
	lives, begun := false, false
	for _, f := range hosts {
		lives = lives || f.Kubernetes.Formed
		begun = begun || f.Kubernetes.Settings[facts.EtcdPrefix] == e.Prefix && slices.ContainsFunc(strings.Split(f.Kubernetes.Settings[facts.EtcdServers], ","), func(url string) bool {
			return slices.Contains(e.Endpoints, url)
		})
	}
	var problems []plan.Problem
	say := func(blocks bool, remedy, format string, values ...any) {
		p := plan.Problem{Blocks: blocks, Careful: !blocks, Message: "your etcd: " + fmt.Sprintf(format, values...), Remedy: remedy}
		if !slices.ContainsFunc(problems, func(o plan.Problem) bool { return o.Message == p.Message }) {
			problems = append(problems, p)
		}
	}
	asked, all, holds := 0, map[string]etcd.Server{}, int64(0)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		well := 0
		var why []string
		for _, s := range found[name] {
			wanted := slices.Contains(e.Endpoints, s.URL)
			if known, is := all[s.URL]; !is || known.Unwell != "" {
				all[s.URL] = s
			}
			switch {
			case !wanted:
			case s.Unwell != "":
				why = append(why, s.URL+": "+s.Unwell)
			default:
				well++
				holds = max(holds, s.Holds)
			}
		}
		switch {
		case well == 0: // its API server would not start
			say(!lives, "See that it runs, and that control planes reach it; etcd.external says where it is and what it is asked with", "from %s no member answers: %s", name, strings.Join(why, "; "))
			continue
		case len(why) > 0:
			say(false, "Bring back those that do not answer; API servers ask the others meanwhile", "from %s not all members answer: %s", name, strings.Join(why, "; "))
		}
		asked++
	}
	servers := slices.SortedFunc(maps.Values(all), func(a, b etcd.Server) int { return strings.Compare(a.URL, b.URL) })
	if apart := etcd.Apart(servers); len(apart) > 0 {
		var sides []string
		for _, urls := range apart {
			sides = append(sides, strings.Join(urls, ", "))
		}
		remedy := "Name members of one"
		if lives {
			remedy = "Name members of the one that the cluster has its data in: API servers ask " + strings.Join(serversNow(c, hosts), ", ")
		}
		say(true, remedy, "these are members of different clusters: %s", strings.Join(sides, " and "))
	}
	for _, s := range servers {
		if s.Version != "" && semver.Compare("v"+s.Version, "v"+oldestExternal) < 0 {
			say(!lives, "Upgrade it", "%s is of version %s, and Kubernetes wants %s or newer", s.URL, s.Version, oldestExternal)
		}
		for _, a := range s.Alarms {
			say(!lives, "NOSPACE: \"etcdctl compact\", \"etcdctl defrag\", then \"etcdctl alarm disarm\"; CORRUPT says that members differ: replace the one that does", "it has the alarm %s", a)
		}
	}
	switch {
	case asked == 0:
	case lives && holds == 0:
		say(true, "See that it is the etcd that the cluster had, and that its data is there", "it holds nothing below %s, and the cluster has lived", e.Prefix)
	case !lives && !begun && holds > 0:
		say(true, "Say another etcd.external.prefix, or another etcd. If nobody needs what is there: \"etcdctl del --prefix "+e.Prefix+"/\"",
			"it holds %d objects below %s, which are of another cluster: two would destroy each other", holds, e.Prefix)
	}
	return problems
}

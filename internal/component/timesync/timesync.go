// Package timesync keeps clocks together by chrony: some hosts ask servers outside and serve time to the others, which ask them. It decides by the model and by
// what machines are, and does nothing itself. Certificates and leases of a cluster need clocks that agree within two seconds.
package timesync

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

// Step is the name of the step on each host.
const Step = "time synchronisation"

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be. Hosts have their InternalAddresses.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Provided says whether a host gets the packages that it needs; where it does not, chrony has to be there. May be nil: all do.
	Provided func(host string) bool
	// After is what the first step on a host waits for, the packages among it; may be nil.
	After func(host string) []plan.Condition
}

// chrony is the mode in which this package does something.
const chrony = "chrony"

// Steps are a step for each host that answered and whose clock may be set, and what is wrong with clocks.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	servers := Servers(in)
	problems := clocks(in, servers)
	var asked []plan.StepID // that others wait for
	for _, s := range servers {
		if _, answered := in.Hosts[s.Name]; answered {
			asked = append(asked, plan.StepID{Host: s.Name, Name: Step})
		}
	}
	serves := map[string]bool{}
	for _, s := range servers {
		serves[s.Name] = true
	}
	var steps []plan.Step
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered || !runs(in.Cluster.TimeSync, f, servers) {
			continue
		}
		s := plan.Step{
			StepID:    plan.StepID{Host: h.Name, Name: Step},
			Resources: resources(in.Cluster.TimeSync, h, f, servers, serves[h.Name]),
			Ensures:   []resource.Probe{right(serves[h.Name])},
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		if !serves[h.Name] && len(asked) > 0 {
			s.Requires = append(slices.Clone(s.Requires), plan.Condition{Name: "a host serves time", Of: asked, AtLeast: 1})
		}
		steps = append(steps, s)
	}
	return steps, problems
}

// right asks whether a clock is right. Of one that others follow, it is enough that chrony answers: when nobody outside does, its own time is right, which
// chronyc does not call synchronised. The others have found somebody to follow, and at most 2 seconds to correct; chronyc looks once, and is asked again.
func right(serves bool) resource.Probe {
	if serves {
		return resource.Answers{Name: "chrony", Command: []string{"chronyc", "-n", "tracking"}}
	}
	return resource.Answers{Name: "clock", Command: []string{"chronyc", "-n", "waitsync", "1", "2"}}
}

// runs says whether chrony is to run on a host that answered: where the clock may be set, and there is somebody to ask.
func runs(t v1alpha1.TimeSync, f facts.Host, servers []v1alpha1.Host) bool {
	return t.Mode == chrony && f.SetClock && len(t.Servers)+len(servers) > 0
}

// Packages are those that each host needs.
func Packages(in Input) func(host string) []string {
	servers := Servers(in)
	return func(host string) []string {
		if f, answered := in.Hosts[host]; answered && runs(in.Cluster.TimeSync, f, servers) {
			return []string{"chrony"}
		}
		return nil
	}
}

// Replaces are the packages that chrony may take the place of: Debian has at most one program that keeps the clock on a host.
func Replaces() map[string][]string {
	return map[string][]string{"chrony": {"systemd-timesyncd", "ntp", "ntpsec", "openntpd"}}
}

// Servers are the hosts that serve time to others: those of the cluster file; the control planes, if it names none, nor servers outside. A host whose clock
// may not be set cannot; of one that did not answer that is not known, and others are told to ask it.
func Servers(in Input) []v1alpha1.Host {
	t := in.Cluster.TimeSync
	if t.Mode != chrony {
		return nil
	}
	var list []v1alpha1.Host
	for _, h := range in.Cluster.Hosts {
		serves := slices.Contains(t.ServerHosts, h.Name)
		if len(t.ServerHosts)+len(t.Servers) == 0 {
			serves = slices.Contains(h.Roles, v1alpha1.ControlPlane)
		}
		if f, answered := in.Hosts[h.Name]; serves && (!answered || f.SetClock) {
			list = append(list, h)
		}
	}
	return list
}

// family is where a family of distributions has chrony.
type family struct{ unit, config, drift string }

var families = map[string]family{
	"apt": {"chrony.service", "/etc/chrony/chrony.conf", "/var/lib/chrony/chrony.drift"},
	"dnf": {"chronyd.service", "/etc/chrony.conf", "/var/lib/chrony/drift"},
}

// others are units that keep clocks, too; two of them would set it against each other. They are off whether they run or not: otherwise they would
// be wanted again as soon as they do not.
var others = []string{"systemd-timesyncd.service", "ntp.service", "ntpd.service", "ntpsec.service", "openntpd.service"}

// resources of a host.
func resources(t v1alpha1.TimeSync, h v1alpha1.Host, f facts.Host, servers []v1alpha1.Host, serves bool) []resource.Resource {
	where, known := families[f.Packages]
	if !known {
		where = families["apt"]
	}
	var list []resource.Resource
	for _, unit := range others {
		list = append(list, resource.Unit{Name: unit})
	}
	config := resource.NewFile(where.config, configuration(t, h, servers, serves, where.drift))
	return append(list, config, resource.Unit{Name: where.unit, Active: true, Enabled: true, RestartOn: []resource.ID{config.ID()}})
}

// configuration is chrony.conf(5) of a host.
func configuration(t v1alpha1.TimeSync, h v1alpha1.Host, servers []v1alpha1.Host, serves bool, drift string) string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("# Kubewright wrote this, and writes it again when it is changed here: change timeSync in the cluster file, or put more into /etc/chrony/conf.d.")
	if serves || len(servers) == 0 {
		for _, s := range t.Servers {
			line("server %s iburst", s)
		}
	}
	for _, s := range servers {
		if s.Name != h.Name {
			line("server %s iburst", address(s)) // servers ask each other, too, so that they agree when nobody outside answers
		}
	}
	if serves {
		line("# Hosts may ask it. When nobody outside answers, one of the hosts that serve time is right, and the others follow it.")
		line("allow")
		line("local stratum 10 orphan")
	}
	line("# A clock that is off by more than a second is set at any time: virtual machines that were stopped have to be right soon after.")
	line("makestep 1 -1")
	line("rtcsync")
	line("driftfile %s", drift)
	line("confdir /etc/chrony/conf.d")
	return text.String()
}

// address that other hosts reach a host by.
func address(h v1alpha1.Host) string {
	if len(h.InternalAddresses) > 0 {
		return h.InternalAddresses[0]
	}
	return h.Address
}

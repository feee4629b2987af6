package converge

import (
	"slices"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/hostprep"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/component/timesync"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// Wish is what components make steps of: what shall be and what is.
type Wish struct {
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Leaving are the hosts that left the cluster file, in order of their names.
	Leaving []facts.Leaver
	// External is what is found of an etcd of the user's.
	External etcd.External
	// Keys finds out what may be known of the keys of the cluster.
	Keys func() (Keys, []plan.Problem)
	// After is what the first step on a host has to wait for.
	After func(host string) []plan.Condition
}

// Components make steps of what shall be and what is.
type Components func(w Wish) ([]plan.Step, []plan.Problem)

// Hosts are the components that make hosts fit to carry a cluster, in the order in which a person would do it.
func Hosts(b *bundle.Bundle) Components {
	return func(w Wish) ([]plan.Step, []plan.Problem) {
		var all parts
		clocks := timesync.Input{Cluster: w.Cluster, Hosts: w.Hosts, After: prepared, Provided: func(host string) bool { return hostprep.Provides(b, w.Hosts[host]) }}
		containers := runtime.Input{Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, After: prepared}
		ofClocks, ofContainers := timesync.Packages(clocks), runtime.Packages(containers)
		ofBalancers := loadbalancer.Packages(loadbalancer.Input{Cluster: w.Cluster, Hosts: w.Hosts})
		all.add(hostprep.Steps(hostprep.Input{
			Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, After: w.After, TimeServers: timesync.Servers(clocks),
			Packages: func(host string) []string {
				return slices.Concat(ofClocks(host), ofContainers(host), ofBalancers(host))
			},
			Replace: timesync.Replaces(),
		}))
		all.add(timesync.Steps(clocks))
		all.add(runtime.Steps(containers))
		return all.steps, all.problems
	}
}

// parts are what components said so far.
type parts struct {
	steps    []plan.Step
	problems []plan.Problem
}

func (p *parts) add(steps []plan.Step, problems []plan.Problem) {
	p.steps, p.problems = append(p.steps, steps...), append(p.problems, problems...)
}

func after(host string, steps ...string) []plan.Condition {
	var all []plan.Condition
	for _, name := range steps {
		all = append(all, plan.After(plan.StepID{Host: host, Name: name}))
	}
	return all
}

func prepared(host string) []plan.Condition { return after(host, hostprep.Step) }

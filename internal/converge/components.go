package converge

import (
	"slices"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/hostprep"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/component/timesync"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// Components make steps of what shall be and what is. after is what the first step on a host has to wait for.
type Components func(c *cluster.Cluster, hosts map[string]facts.Host, after func(host string) []plan.Condition) ([]plan.Step, []plan.Problem)

// Standard are the components of a cluster, in the order in which a person would build it.
func Standard(b *bundle.Bundle) Components {
	return func(c *cluster.Cluster, hosts map[string]facts.Host, after func(host string) []plan.Condition) ([]plan.Step, []plan.Problem) {
		var steps []plan.Step
		var problems []plan.Problem
		add := func(s []plan.Step, p []plan.Problem) {
			steps, problems = append(steps, s...), append(problems, p...)
		}
		prepared := func(host string) []plan.Condition {
			return []plan.Condition{plan.After(plan.StepID{Host: host, Name: hostprep.Step})}
		}
		clocks := timesync.Input{Cluster: c, Hosts: hosts, After: prepared, Provided: func(host string) bool { return hostprep.Provides(b, hosts[host]) }}
		containers := runtime.Input{Cluster: c, Hosts: hosts, Bundle: b, After: prepared}
		ofClocks, ofContainers := timesync.Packages(clocks), runtime.Packages(containers)
		add(hostprep.Steps(hostprep.Input{
			Cluster: c, Hosts: hosts, Bundle: b, After: after, TimeServers: timesync.Servers(clocks),
			Packages: func(host string) []string { return slices.Concat(ofClocks(host), ofContainers(host)) },
			Replace:  timesync.Replaces(),
		}))
		add(timesync.Steps(clocks))
		add(runtime.Steps(containers))
		return steps, problems
	}
}

package converge

import (
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// Components make steps of what shall be and what is. after is what the first step on a host has to wait for.
type Components func(c *cluster.Cluster, hosts map[string]facts.Host, after func(host string) []plan.Condition) ([]plan.Step, []plan.Problem)

package converge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/resource"
)

// LogOf is what is to be read of a component on a host.
type LogOf struct {
	Host string
	// Component is "kubelet", "containerd", "endpoint" (the balancer in front of the API), "time", "kernel", a unit of systemd with its suffix ("sshd.service"), or the name of a container:
	// "etcd", "kube-apiserver", "coredns".
	Component string
	// Lines are how many at most, the last ones.
	Lines int
	// Previous is the container before the one that runs, or ran last.
	Previous bool
	// After is where it was read up to before.
	After string
}

// unitsOf are components that are units of systemd.
func unitsOf(c *cluster.Cluster) map[string]string {
	return map[string]string{"kubelet": kubeletUnit, strings.TrimSuffix(runtime.Unit(c), ".service"): runtime.Unit(c), "endpoint": loadbalancer.Unit, "time": "chrony.service"}
}

// Log reads what a component said. It needs nothing of a host but its agent: neither an API server nor a kubelet.
func (s *Session) Log(ctx context.Context, of LogOf) (resource.LogFound, error) {
	name := of.Component
	if unit, ok := unitsOf(s.o.Cluster)[name]; ok {
		name = unit
	}
	client, err := s.fleet.connected(ctx, of.Host)
	if err != nil {
		return resource.LogFound{}, err
	}
	report := resource.LogReport{Name: name, Socket: runtime.Endpoint(s.o.Cluster), Lines: of.Lines, Previous: of.Previous, After: of.After}
	found, err := client.Look(ctx, []resource.Report{report})
	if err != nil {
		return resource.LogFound{}, err
	}
	var l resource.LogFound
	if why := found.Get(report.ID(), &l); why != "" {
		return l, fmt.Errorf("%s: %s", of.Host, why)
	}
	return l, nil
}

// logLines of each component are gathered.
const logLines = 3000

// Logs gathers what all components of a host said.
func (s *Session) Logs(ctx context.Context, host string) ([]resource.NamedLog, error) {
	client, err := s.fleet.connected(ctx, host)
	if err != nil {
		return nil, err
	}
	report := resource.LogsReport{Socket: runtime.Endpoint(s.o.Cluster), Lines: logLines}
	report.Units = slices.Sorted(maps.Values(unitsOf(s.o.Cluster)))
	found, err := client.Look(ctx, []resource.Report{report})
	if err != nil {
		return nil, err
	}
	var list []resource.NamedLog
	if why := found.Get(report.ID(), &list); why != "" {
		return nil, fmt.Errorf("%s: %s", host, why)
	}
	return list, nil
}

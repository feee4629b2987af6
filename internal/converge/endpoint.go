package converge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

const (
	// wayTime is how long a host may take to find out whether the API answers at the endpoint.
	wayTime = 10 * time.Second
	// maxAskers are how many hosts find that out for a plan: thousands of them would tell the same. Status asks all.
	maxAskers = 5
)

// endpointProblems are what is wrong with an external endpoint of a cluster that lives: whether an API server of the cluster answers there. Before it lives, none can.
func (s *Session) endpointProblems(ctx context.Context, c *cluster.Cluster, hosts map[string]facts.Host) ([]plan.Problem, error) {
	askers := askersOf(c, hosts)
	if len(askers) == 0 {
		return nil, nil
	}
	probe := loadbalancer.Way(c)
	var mu sync.Mutex
	unwell := map[string]string{}
	err := s.fleet.each(ctx, func(m *member) {
		name := m.host.Name
		if !slices.Contains(askers, name) {
			return
		}
		limited, cancel := context.WithTimeout(ctx, wayTime)
		defer cancel()
		client, err := s.fleet.connected(limited, name)
		if err != nil {
			return // its own steps say so
		}
		found, err := client.Check(limited, []resource.Probe{probe})
		why := found[probe.ID().String()]
		if found == nil && err != nil {
			why = err.Error()
		}
		if why != "" {
			mu.Lock()
			defer mu.Unlock()
			unwell[name] = why
		}
	})
	if err != nil {
		return nil, err
	}
	return silentEndpoint(c, askers, unwell), nil
}

// askersOf are the hosts that ask for an external endpoint, the nodes that are led there if there are any: control planes may be unable to reach themselves through a balancer that others do reach them
// through. None before they have what they know the API by.
func askersOf(c *cluster.Cluster, hosts map[string]facts.Host) []string {
	if c.Endpoint.Kind != v1alpha1.ExternalEndpoint {
		return nil
	}
	var led, planes []string
	for _, h := range c.Nodes() {
		switch k := hosts[h.Name].Kubernetes; {
		case c.LedToEndpoint(h) && k.Joined:
			led = append(led, h.Name)
		case slices.Contains(h.Roles, v1alpha1.ControlPlane) && k.API:
			planes = append(planes, h.Name)
		}
	}
	switch {
	case len(planes) == 0: // nobody could answer
		return nil
	case len(led) > 0:
		return led[:min(len(led), maxAskers)]
	}
	return planes[:1]
}

// silentEndpoint says that some hosts find no API server of the cluster at the endpoint, and why.
func silentEndpoint(c *cluster.Cluster, asked []string, unwell map[string]string) []plan.Problem {
	var from []string
	why := ""
	for _, host := range asked {
		if unwell[host] != "" {
			from, why = append(from, host), unwell[host]
		}
	}
	if len(from) == 0 {
		return nil
	}
	return []plan.Problem{{
		Message: fmt.Sprintf("no API server of the cluster answers at the endpoint, %s, asked from %s: %s", c.PublicAddress(), strings.Join(from, ", "), strings.TrimPrefix(why, c.PublicAddress()+": ")),
		Careful: true, // nodes that are led there reach no API
		Remedy:  "See that your balancer runs and knows the control planes; \"kubewright endpoint config\" prints a configuration for it",
	}}
}

// asksEndpoint says whether a host is asked for its way to the endpoint's own address: one that is led there, and a control plane if no host is.
func asksEndpoint(c *cluster.Cluster, h v1alpha1.Host) bool {
	switch {
	case c.PublicAddress() == "":
		return false
	case slices.ContainsFunc(c.Hosts, c.LedToEndpoint):
		return c.LedToEndpoint(h)
	}
	return slices.Contains(h.Roles, v1alpha1.ControlPlane)
}

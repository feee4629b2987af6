// Package loadbalancer gives workers a way to the API that no single machine's death closes: a HAProxy on loopback, in front of all API servers. It decides by the
// model and does nothing itself.
package loadbalancer

import (
	"net"
	"strconv"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step on each host.
const Step = "endpoint"

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be. Its hosts have their InternalAddresses, also where the cluster file leaves them to be found out.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// After is what the step on a host waits for, packages and authorities among it; may be nil.
	After func(host string) []plan.Condition
}

// Packages are those that each host needs, by Debian's names.
func Packages(in Input) func(host string) []string {
	has := map[string]bool{}
	for _, h := range in.Cluster.Hosts {
		has[h.Name] = in.Cluster.LocalBalancer(h)
	}
	return func(host string) []string {
		if !has[host] {
			return nil
		}
		return []string{"haproxy"}
	}
}

// Steps are a step for each host that answered and has a balancer of its own. Whether an API server answers through it is not theirs to say: in a new cluster there is none yet.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	var steps []plan.Step
	config := resource.NewFile(configPath, haproxyConfig(in.Cluster))
	unit := resource.NewFile("/etc/systemd/system/"+Unit, service)
	resources := []resource.Resource{
		resource.Directory{Path: "/etc/kubewright"},
		config, unit,
		resource.Unit{Name: Unit, Active: true, Enabled: true, RestartOn: []resource.ID{unit.ID()}, ReloadOn: []resource.ID{config.ID()}},
	}
	for _, h := range in.Cluster.Hosts {
		if _, answered := in.Hosts[h.Name]; !answered || !in.Cluster.LocalBalancer(h) {
			continue
		}
		s := plan.Step{
			StepID: plan.StepID{Host: h.Name, Name: Step}, Group: cluster.GroupOf(h),
			Resources: resources, Ensures: []resource.Probe{resource.UnitActive{Name: Unit}},
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// Probes ask whether the balancer of a host runs, and whether an API server answers through it.
func Probes(c *cluster.Cluster) []resource.Probe {
	local := net.JoinHostPort(c.Loopback()[0], strconv.Itoa(c.Cluster.APIServer.Port))
	return []resource.Probe{resource.UnitActive{Name: Unit}, answers(c, "endpoint", local)}
}

// Way asks whether an API server of the cluster answers at the endpoint's own address, which has to have one.
func Way(c *cluster.Cluster) resource.Probe { return answers(c, c.PublicAddress(), c.PublicAddress()) }

// answers asks for an API server by the name that is in all certificates from the first day, whatever the address.
func answers(c *cluster.Cluster, who, address string) resource.Probe {
	return resource.HTTPAnswers{Name: who, URL: "https://" + address + "/readyz", CA: authorityPath, ServerName: c.Endpoint.Name}
}

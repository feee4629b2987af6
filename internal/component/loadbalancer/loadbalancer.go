// Package loadbalancer gives workers and people a way to the API that no single machine's death closes: a HAProxy in front of all API servers, on loopback of each worker, or on several hosts one of
// which holds an address that wanders; or a configuration for a balancer of the user's. It decides by the model and does nothing itself.
package loadbalancer

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
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
	// Living says that the cluster has been whole: there is an API to ask what leads to it for.
	Living bool
	// After is what the step on a host waits for, packages and authorities among it, and on hosts that are led to the address of the endpoint, that it is there; may be nil.
	After func(host string) []plan.Condition
}

// Packages are those that each host needs, by Debian's names: for what it is to have, and for what it has until nobody is led there any more. Packages are the first thing that changes on a host.
func Packages(in Input) func(host string) []string {
	needs := map[string][]string{}
	for _, h := range in.Cluster.Hosts {
		switch has := in.Hosts[h.Name].Ways; {
		case in.Cluster.Holder(h) || has.Address:
			needs[h.Name] = []string{"haproxy", "keepalived"}
		case in.Cluster.Balancer(h) || has.Balancer:
			needs[h.Name] = []string{"haproxy"}
		}
	}
	return func(host string) []string { return needs[host] }
}

// Steps are a step for each host that answered and has a balancer or is led to one, and what stands in the way of an address that wanders. In a new cluster, whether an API server answers through a
// balancer is not theirs to say: there is none yet.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	var steps []plan.Step
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered || !in.Cluster.Balancer(h) && !in.Cluster.Led(h) {
			continue
		}
		s := plan.Step{StepID: plan.StepID{Host: h.Name, Name: Step}, Group: cluster.GroupOf(h)}
		if in.Cluster.Balancer(h) {
			s.Resources, s.Ensures = []resource.Resource{resource.Directory{Path: "/etc/kubewright"}}, []resource.Probe{resource.UnitActive{Name: Unit}}
		}
		if in.Cluster.Holder(h) {
			s.Resources = append(s.Resources, holder(in.Cluster, h, f)...)
			s.Ensures = append(s.Ensures, resource.UnitActive{Name: RulesUnit}, resource.UnitActive{Name: AddressUnit})
		}
		if in.Cluster.Balancer(h) { // what comes last goes first: it ends connections while there is an address to say so from, or clients would wait for 45 s
			s.Resources = append(s.Resources, balancer(in.Cluster, h)...)
		}
		if in.Cluster.Led(h) {
			s.Resources = append(s.Resources, name(in, h)...)
			s.Replaces = []resource.ID{resource.Unit{Name: AddressUnit}.ID()}
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		steps = append(steps, s)
	}
	return steps, problems(in)
}

// name is what a host that is led to the API knows it by. In a cluster that lives it comes once an API server answers there: until then, the host finds one where it did before.
func name(in Input, h v1alpha1.Host) []resource.Resource {
	c := in.Cluster
	addresses := c.EndpointAddresses(h)
	if len(addresses) == 0 {
		return nil // name servers know it
	}
	var text strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&text, "%s %s\n", a, c.Endpoint.Name)
	}
	b := resource.Block{Path: "/etc/hosts", Name: "endpoint", Text: text.String()}
	if in.Living {
		way := answers(c, "the API", net.JoinHostPort(addresses[0], strconv.Itoa(c.Cluster.APIServer.Port)))
		b.Once = &way
	}
	return []resource.Resource{b}
}

// balancer is what a HAProxy is on a host.
func balancer(c *cluster.Cluster, h v1alpha1.Host) []resource.Resource {
	config := resource.NewFile(configPath, haproxyConfig(c, h))
	unit := resource.NewFile("/etc/systemd/system/"+Unit, service(c, h))
	list := []resource.Resource{config, unit}
	restart := []resource.ID{unit.ID()}
	if c.Holder(h) && c.Endpoint.Keepalived.Statistics.Wanted() {
		password := resource.NewFile(passwordPath, environment(c.StatisticsPassword))
		password.Mode, password.Secret = 0o600, true
		list, restart = append(list, password), append(restart, password.ID())
	}
	return append(list, resource.Unit{Name: Unit, Active: true, Enabled: true, RestartOn: restart, ReloadOn: []resource.ID{config.ID()}})
}

// Probes ask whether the balancer of a host runs, and whether an API server answers through it; of one that may hold the address that wanders, also whether it takes part in that.
func Probes(c *cluster.Cluster, h v1alpha1.Host) []resource.Probe {
	probes := []resource.Probe{resource.UnitActive{Name: Unit}}
	if c.LocalBalancer(h) {
		probes = append(probes, answers(c, "endpoint", net.JoinHostPort(c.Loopback()[0], strconv.Itoa(c.Cluster.APIServer.Port))))
	}
	if c.Holder(h) {
		probes = append(probes, resource.UnitActive{Name: AddressUnit}, resource.HTTPAnswers{Name: "balancer", URL: "http://" + healthAddress + "/readyz"})
	}
	return probes
}

// Way asks whether an API server of the cluster answers at the endpoint's own address, which has to have one.
func Way(c *cluster.Cluster) resource.HTTPAnswers {
	return answers(c, c.PublicAddress(), c.PublicAddress())
}

// answers asks for an API server by the name that is in all certificates from the first day, whatever the address.
func answers(c *cluster.Cluster, who, address string) resource.HTTPAnswers {
	return resource.HTTPAnswers{Name: who, URL: "https://" + address + c.Health("/readyz"), CA: authorityPath, ServerName: c.Endpoint.Name}
}

package loadbalancer

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
)

const head = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
`

const hosts = `- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane, worker]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: w2, address: 10.0.0.22, roles: [worker]}
- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
`

const bothFamilies = `- {name: cp1, address: 10.0.0.11, internalAddresses: [10.0.0.11, "fd00::11"], roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, internalAddresses: [10.0.0.12, "fd00::12"], roles: [control-plane]}
- {name: cp3, address: cp3.example, internalAddresses: [10.0.0.13, "fd00::13"], roles: [control-plane]}
- {name: w1, address: 10.0.0.21, internalAddresses: [10.0.0.21, "fd00::21"], roles: [worker]}
network: {podRanges: [10.244.0.0/16, "fd01::/48"], serviceRanges: [10.96.0.0/16, "fd02::/112"]}
`

const ipv6First = `- {name: cp1, address: 10.0.0.11, internalAddresses: ["fd00::11", 10.0.0.11], roles: [control-plane]}
- {name: w1, address: 10.0.0.21, internalAddresses: ["fd00::21", 10.0.0.21], roles: [worker]}
network: {podRanges: ["fd01::/48", 10.244.0.0/16], serviceRanges: ["fd02::/112", 10.96.0.0/16]}
`

func load(t *testing.T, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(head+more))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var all = map[string]facts.Host{"cp1": {}, "cp2": {}, "cp3": {}, "w1": {}, "w2": {}, "lb1": {}}

func TestSteps(t *testing.T) {
	only := maps.Clone(all)
	delete(only, "w2")
	for _, c := range []struct {
		name, file string
	}{
		{"ipv4", hosts},
		{"dual-stack", bothFamilies + "apiServer: {port: 443}\nendpoint: {name: k8s.example.org}\n"},
		{"ipv6-first", ipv6First},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Cluster: load(t, c.file), Hosts: only,
				After: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " is prepared"}} }}
			steps, problems := Steps(in)
			if err := plan.Check(steps, []plan.Group{{Name: cluster.Workers, AtOnce: 1}}); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestOneMoreWorkerTouchesNoOther(t *testing.T) {
	text := func(more string) string {
		answered := maps.Clone(all)
		answered["w3"] = facts.Host{}
		steps, _ := Steps(Input{Cluster: load(t, hosts+more), Hosts: answered})
		return plantest.Render(t, slices.DeleteFunc(steps, func(s plan.Step) bool { return s.Host == "w3" }), nil)
	}
	if before, after := text(""), text("- {name: w3, address: 10.0.0.23, roles: [worker]}\n"); before != after {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestNoneOfAnExternalEndpoint(t *testing.T) {
	for endpoint, want := range map[string]int{"{kind: external, address: 10.0.0.10}": 0, "{kind: external, address: 10.0.0.10, port: 443, local: true}": 2} {
		if steps, _ := Steps(Input{Cluster: load(t, hosts+"endpoint: "+endpoint+"\n"), Hosts: all}); len(steps) != want {
			t.Errorf("%s: %d steps, want %d", endpoint, len(steps), want)
		}
	}
}

func TestPackages(t *testing.T) {
	packages := Packages(Input{Cluster: load(t, hosts)})
	for host, want := range map[string][]string{"cp1": nil, "cp2": nil, "w1": {"haproxy"}, "lb1": nil} {
		if got := packages(host); !slices.Equal(got, want) {
			t.Errorf("%s needs %q, want %q", host, got, want)
		}
	}
}

// What API servers are asked does not grow with the cluster, and a new worker seldom changes it.
func TestCheckEvery(t *testing.T) {
	for _, c := range []struct {
		balancers int
		want      time.Duration
	}{{0, time.Second}, {250, time.Second}, {251, 2 * time.Second}, {500, 2 * time.Second}, {501, 4 * time.Second}, {5000, 32 * time.Second}} {
		of := &cluster.Cluster{Cluster: &v1alpha1.Cluster{}}
		of.Endpoint.Kind = v1alpha1.LocalEndpoint
		for range c.balancers {
			of.Hosts = append(of.Hosts, v1alpha1.Host{Roles: []v1alpha1.Role{v1alpha1.Worker}})
		}
		if got := checkEvery(of); got != c.want {
			t.Errorf("%d balancers check every %s; want %s", c.balancers, got, c.want)
		}
	}
}

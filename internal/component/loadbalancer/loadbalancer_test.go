package loadbalancer

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
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

var all = map[string]facts.Host{"cp1": on("10.0.0.11/24"), "cp2": on("10.0.0.12/24"), "cp3": on("10.0.0.13/24"), "w1": on("10.0.0.21/24"), "w2": on("10.0.0.22/24"),
	"lb1": on("10.0.0.5/24"), "lb2": on("10.0.0.6/24")}

// on is a host with addresses on one interface.
func on(addresses ...string) facts.Host {
	i := facts.Interface{Name: "eth0"}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
	}
	return facts.Host{Interfaces: []facts.Interface{i}}
}

// holding is a host with a keepalived of ours.
func holding(f facts.Host) facts.Host {
	f.Ways = facts.Ways{Balancer: true, Address: true}
	return f
}

const (
	onControlPlanes = hosts + "endpoint: {kind: keepalived, address: 10.0.0.10}\n"
	onBalancers     = hosts + `- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
- {name: lb2, address: lb2.example, internalAddresses: [10.0.0.6], roles: [loadbalancer, worker]}
endpoint:
  kind: keepalived
  address: 10.0.0.10
  local: true
  keepalived: {routerID: 51, interval: 500ms, preempt: true, priorities: {lb2: 200}, statistics: {credentials: {username: admin, passwordFile: statistics}}}
`
	ofIPv6 = ipv6First + "endpoint: {kind: keepalived, address: \"fd00::10\"}\n"
)

func TestSteps(t *testing.T) {
	only := maps.Clone(all)
	delete(only, "w2")
	for _, c := range []struct {
		name, file string
	}{
		{"ipv4", hosts},
		{"dual-stack", bothFamilies + "apiServer: {port: 443}\nendpoint: {name: k8s.example.org}\n"},
		{"ipv6-first", ipv6First},
		{"keepalived-control-planes", onControlPlanes},
		{"keepalived-balancers", onBalancers},
		{"keepalived-ipv6", ofIPv6},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Cluster: load(t, c.file), Hosts: only,
				After: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " is prepared"}} }}
			steps, problems := Steps(in)
			if err := plan.Check(steps, []plan.Group{{Name: cluster.Workers, AtOnce: 1}, {Name: cluster.ControlPlanes, AtOnce: 1}, {Name: cluster.Balancers, AtOnce: 1}}); err != nil {
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

func TestNoBalancerOfOursWithAnExternalEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"{kind: external, address: 10.0.0.10}":                         "w1: 10.0.0.10 api.test.internal w2: 10.0.0.10 api.test.internal ",
		"{kind: external, address: 10.0.0.10, port: 443, local: true}": "w1: unit w1: 127.0.0.1 api.test.internal w2: unit w2: 127.0.0.1 api.test.internal ",
		"{kind: external, address: api.example.org}":                   "",
	} {
		steps, _ := Steps(Input{Cluster: load(t, hosts+"endpoint: "+endpoint+"\n"), Hosts: all})
		got := ""
		for _, s := range steps {
			for _, r := range s.Resources {
				switch r := r.(type) {
				case resource.Unit:
					got += s.Host + ": unit "
				case resource.Block:
					got += s.Host + ": " + strings.TrimSpace(r.Text) + " "
				}
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", endpoint, got, want)
		}
	}
}

func TestNobodyIsLedWhereNothingAnswers(t *testing.T) {
	for file, want := range map[string]string{hosts: "https://127.0.0.1:6443/readyz", onControlPlanes: "https://10.0.0.10:6443/readyz"} {
		for _, living := range []bool{false, true} {
			steps, _ := Steps(Input{Cluster: load(t, file), Hosts: all, Living: living})
			i := slices.IndexFunc(steps, func(s plan.Step) bool { return s.Host == "w1" })
			last := steps[i].Resources[len(steps[i].Resources)-1].(resource.Block)
			switch {
			case !living && last.Once != nil:
				t.Errorf("in a new cluster, w1 waits for %s", last.Once.URL)
			case living && (last.Once == nil || last.Once.URL != want || last.Once.ServerName != "api.test.internal"):
				t.Errorf("w1 waits for %v, want %s", last.Once, want)
			}
			if !slices.Contains(steps[i].Replaces, resource.ID{Kind: "unit", Name: AddressUnit}) {
				t.Errorf("what holds the address may go before w1 is led elsewhere")
			}
		}
	}
}

func TestPackages(t *testing.T) {
	for file, want := range map[string]map[string][]string{
		hosts:           {"cp1": nil, "cp2": nil, "w1": {"haproxy"}},
		onControlPlanes: {"cp1": {"haproxy", "keepalived"}, "cp2": {"haproxy", "keepalived"}, "w1": nil},
		onBalancers:     {"cp1": nil, "w1": {"haproxy"}, "lb1": {"haproxy", "keepalived"}, "lb2": {"haproxy", "keepalived"}},
	} {
		packages := Packages(Input{Cluster: load(t, file)})
		for host, want := range want {
			if got := packages(host); !slices.Equal(got, want) {
				t.Errorf("%s needs %q, want %q", host, got, want)
			}
		}
	}
}

// What a host has stays until it has gone: others are led to it until they are led elsewhere.
func TestPackagesStayForWhatIsThere(t *testing.T) {
	c := load(t, hosts+"endpoint: {kind: external, address: 10.0.0.10}\n")
	for want, ways := range map[string]facts.Ways{"": {}, "haproxy": {Balancer: true}, "haproxy keepalived": {Balancer: true, Address: true}} {
		packages := Packages(Input{Cluster: c, Hosts: map[string]facts.Host{"w1": {Ways: ways}}})
		if got := strings.Join(packages("w1"), " "); got != want {
			t.Errorf("with %+v, w1 needs %q, want %q", ways, got, want)
		}
	}
}

// What hosts are can be in the way of an address that wanders.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, file string
		hosts      map[string]facts.Host
		want       []string
	}{
		{"of another kind", hosts, map[string]facts.Host{"w1": on("10.0.0.10/24")}, nil},
		{"well", onControlPlanes, all, nil},
		{"held by one", onControlPlanes, map[string]facts.Host{"cp1": on("10.0.0.11/24"), "cp2": on("10.0.0.12/24", "10.0.0.10/32")}, nil},
		{"another network", hosts + "endpoint: {kind: keepalived, address: 10.0.1.10}\n", map[string]facts.Host{"cp1": on("10.0.0.11/24"), "cp2": on("10.0.0.12/16")},
			[]string{"cp1: it cannot hold the address 10.0.1.10: that is not in its network, 10.0.0.0/24 on eth0"}},
		{"no network", onControlPlanes, map[string]facts.Host{"cp1": on("10.0.0.11/32")},
			[]string{"cp1: it cannot hold the address 10.0.0.10: that is not in its network, 10.0.0.11/32 on eth0"}},
		{"a host's own", onControlPlanes, map[string]facts.Host{"cp1": on("10.0.0.11/24", "10.0.0.10/24")},
			[]string{"cp1: it has the address 10.0.0.10 as one of its own (10.0.0.10/24 on eth0)"}},
		{"another host's", onControlPlanes, map[string]facts.Host{"w2": on("10.0.0.22/24", "10.0.0.10/32")},
			[]string{"w2: it has the address 10.0.0.10 on eth0, which the file gives to hosts with the role control-plane"}},
		{"held by one that held it before", onBalancers, map[string]facts.Host{"cp1": holding(on("10.0.0.11/24", "10.0.0.10/32"))}, nil},
		{"a host's own that held it before", onBalancers, map[string]facts.Host{"cp1": holding(on("10.0.0.11/24", "10.0.0.10/24"))},
			[]string{"cp1: it has the address 10.0.0.10 on eth0, which the file gives to hosts with the role loadbalancer"}},
		{"no address of its family", hosts + "endpoint: {kind: keepalived, address: \"fd00::10\"}\n", map[string]facts.Host{"cp1": on("10.0.0.11/24")},
			[]string{"cp1: it has no address of the family of fd00::10"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := Steps(Input{Cluster: load(t, c.file), Hosts: c.hosts})
			if len(got) != len(c.want) {
				t.Fatalf("they are %v", got)
			}
			for i := range got {
				if !got[i].Blocks || got[i].Remedy == "" || !strings.HasPrefix(got[i].String(), c.want[i]) {
					t.Errorf("%+v, want %s", got[i], c.want[i])
				}
			}
		})
	}
}

func TestPasswordInTheEnvironment(t *testing.T) {
	const want = "STATISTICS_PASSWORD=\"a\\\"b\\\\c\\$d\\`e'f g#\"\n"
	if got := environment("a\"b\\c$d`e'f g#"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c := load(t, onBalancers)
	for _, h := range c.Holders() {
		if text := haproxyConfig(c, h) + service(c, h); strings.Contains(text, c.StatisticsPassword) || !strings.Contains(text, passwordPath) {
			t.Errorf("%s:\n%s", h.Name, text)
		}
	}
}

func TestProbes(t *testing.T) {
	c := load(t, onBalancers)
	for host, want := range map[string]string{
		"w1":  "unit-active kubewright-endpoint.service, http-answers endpoint",
		"lb1": "unit-active kubewright-endpoint.service, unit-active kubewright-endpoint-address.service, http-answers balancer",
		"lb2": "unit-active kubewright-endpoint.service, http-answers endpoint, unit-active kubewright-endpoint-address.service, http-answers balancer",
	} {
		var got []string
		for _, p := range Probes(c, *c.Host(host)) {
			got = append(got, p.ID().String())
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %s", host, got, want)
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

package converge

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// withEndpoint is a cluster of three control planes and two workers.
func withEndpoint(t *testing.T, endpoint string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(`apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: "cp[1-3]", address: "10.0.0.[11-13]", roles: [control-plane]}
- {name: "w[1-2]", address: "10.0.0.[21-22]", roles: [worker]}
endpoint: `+endpoint+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Cluster{Cluster: spec}
}

const external = "{kind: external, address: 10.0.0.10}"

func TestAskersOfAnEndpoint(t *testing.T) {
	plane, joined := facts.Host{Kubernetes: facts.Kubernetes{API: true}}, facts.Host{Kubernetes: facts.Kubernetes{Joined: true}}
	all := map[string]facts.Host{"cp1": plane, "cp2": plane, "cp3": plane, "w1": joined, "w2": joined}
	for _, c := range []struct {
		name, endpoint string
		hosts          map[string]facts.Host
		want           []string
	}{
		{"of its own kind", "{}", all, nil},
		{"workers are led there", external, all, []string{"w1", "w2"}},
		{"only people are", "{kind: external, address: 10.0.0.10, local: true}", all, []string{"cp1"}},
		{"one worker has not joined", external, map[string]facts.Host{"cp2": plane, "w1": {}, "w2": joined}, []string{"w2"}},
		{"no worker has joined", external, map[string]facts.Host{"cp2": plane, "cp3": plane}, []string{"cp2"}},
		{"no API server is ready", external, map[string]facts.Host{"cp1": {}, "w1": joined}, nil},
		{"there is no cluster yet", external, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := askersOf(withEndpoint(t, c.endpoint), c.hosts); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestSilentEndpoint(t *testing.T) {
	c := withEndpoint(t, external)
	if list := silentEndpoint(c, []string{"w1", "w2"}, nil); list != nil {
		t.Errorf("well: %v", list)
	}
	list := silentEndpoint(c, []string{"w1", "w2"}, map[string]string{"w2": "10.0.0.10:6443: connection refused"})
	const want = "no API server of the cluster answers at the endpoint, 10.0.0.10:6443, asked from w2: connection refused"
	if len(list) != 1 || list[0].Blocks || !list[0].Careful || list[0].Message != want || !strings.Contains(list[0].Remedy, "kubewright endpoint config") {
		t.Errorf("one does not find it: %+v", list)
	}
}

func TestStatusOfAnExternalEndpoint(t *testing.T) {
	const way = "http-answers 10.0.0.10:6443"
	for _, c := range []struct {
		name, endpoint string
		unwell         map[string]map[string]string
		ways           []BalancerStatus
		balancers      int
	}{
		{"well", external, nil, []BalancerStatus{{Host: "w1", State: Well}, {Host: "w2", State: Well}}, 0},
		{"from one host not", external, map[string]map[string]string{"w2": {way: "no route to host"}},
			[]BalancerStatus{{Host: "w1", State: Well}, {Host: "w2", State: Wrong, Why: "no route to host"}}, 0},
		{"for people alone", "{kind: external, address: 10.0.0.10, local: true}", nil,
			[]BalancerStatus{{Host: "cp1", State: Well}, {Host: "cp2", State: Well}, {Host: "cp3", State: Well}}, 2},
		{"none", "{}", nil, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := withEndpoint(t, c.endpoint)
			v := seen{cluster: model, unwell: c.unwell, hosts: map[string]facts.Host{}, found: map[string]resource.Found{}}
			for _, h := range model.Hosts {
				v.hosts[h.Name] = facts.Host{}
				_, probes := reportsOf(model, h)
				asks := slices.ContainsFunc(probes, func(p resource.Probe) bool { return p.ID().String() == way })
				if told := slices.ContainsFunc(c.ways, func(w BalancerStatus) bool { return w.Host == h.Name }); asks != told {
					t.Errorf("%s is asked: %t, and told of: %t", h.Name, asks, told)
				}
			}
			s := v.endpoint()
			if !slices.Equal(s.Ways, c.ways) || len(s.Balancers) != c.balancers {
				t.Errorf("it is %+v", s)
			}
		})
	}
}

func TestJoinByAnEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"{}":     "10.0.0.12 api.prod.internal",
		external: "10.0.0.10 api.prod.internal",
		"{kind: external, address: 10.0.0.10, local: true}": "10.0.0.12 api.prod.internal",
		"{kind: external, address: api.example.com}":        "",
	} {
		if j := joinBy(withEndpoint(t, endpoint), "cp2", nil, resource.MadeToken{Token: "t"}); j.Hosts != want {
			t.Errorf("%s: %q, want %q", endpoint, j.Hosts, want)
		}
	}
}

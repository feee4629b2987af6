package dns

import (
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, internalAddresses: [10.0.0.11, "fd00::11"], roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, internalAddresses: [10.0.0.12, "fd00::12"], roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, internalAddresses: [10.0.0.13, "fd00::13"], roles: [control-plane]}
- {name: w1, address: 10.0.0.21, internalAddresses: [10.0.0.21, "fd00::21"], roles: [worker]}
- {name: w2, address: 10.0.0.22, internalAddresses: [10.0.0.22, "fd00::22"], roles: [worker]}
`

// input is of the cluster with more in its file; name servers are those that hosts know.
func input(t *testing.T, more string, servers map[string][]string) Input {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file+more))
	if err != nil {
		t.Fatal(err)
	}
	in := Input{
		Cluster: &cluster.Cluster{Cluster: spec}, Hosts: map[string]facts.Host{}, Executor: "cp1",
		Bundle: &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Image, Name: "registry.k8s.io/coredns/coredns:v1.14.6"}}},
		API:    resource.API{Servers: []string{"10.0.0.11:6443"}},
		After:  []plan.Condition{{Name: "the API answers"}},
	}
	for name, list := range servers {
		in.Hosts[name] = facts.Host{NameServers: list}
	}
	return in
}

func TestSteps(t *testing.T) {
	one := []string{"10.0.0.2"}
	for _, c := range []struct {
		name, more string
		servers    map[string][]string
	}{
		{"standard", "", map[string][]string{"cp1": one, "cp2": one, "cp3": one, "w1": one}},
		{"upstream", "addons: {coreDNS: {upstream: [10.0.0.2, \"2001:db8::2\"], replicas: 3}}\n" +
			"network: {dnsDomain: k8s.example, podRanges: [10.244.0.0/16, \"fd00:1::/56\"], serviceRanges: [10.96.0.0/16, \"fd00:2::/112\"]}\n", nil},
		{"nobody-outside", "", map[string][]string{"cp1": nil, "w1": nil}},
		{"some-without", "", map[string][]string{"cp1": one, "w1": nil}},
		{"disabled", "addons: {coreDNS: {disabled: true}}\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, problems := Steps(input(t, c.more, c.servers))
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestTheUsersCorefileIsTakenAsItIs(t *testing.T) {
	in := input(t, "", map[string][]string{"cp1": nil})
	in.Cluster.Corefile = []byte(".:53 {\n    forward . 10.0.0.2\n}\n")
	if text, problems := corefile(in); text != string(in.Cluster.Corefile) || len(problems) > 0 {
		t.Errorf("it is %q, with %v", text, problems)
	}
}

func TestWithoutImage(t *testing.T) {
	in := input(t, "", nil)
	in.Bundle.Parts = nil
	steps, problems := Steps(in)
	if len(steps) != 0 || len(problems) != 1 || !problems[0].Blocks {
		t.Errorf("there are %v, %v", steps, problems)
	}
}

package network

import (
	"net/netip"
	"regexp"
	"strings"
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

const both = "podRanges: [10.244.0.0/16, \"fd00:1::/56\"], serviceRanges: [10.96.0.0/16, \"fd00:2::/112\"]"

// input is of the cluster with more in its file, of whose hosts all but w2 answered.
func input(t *testing.T, more string) Input {
	t.Helper()
	text := file + more
	if strings.Contains(more, "podRanges: [\"fd00") { // nodes have addresses in the order of the ranges
		text = regexp.MustCompile(`internalAddresses: \[(\S+), (\S+)\]`).ReplaceAllString(text, "internalAddresses: [$2, $1]")
	}
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	in := Input{
		Cluster: &cluster.Cluster{Cluster: spec}, Hosts: map[string]facts.Host{}, Executor: "cp1",
		Bundle:    &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Image, Name: "ghcr.io/flannel-io/flannel:v0.28.4"}}},
		API:       resource.API{Servers: []string{"10.0.0.11:6443"}},
		After:     []plan.Condition{{Name: "the API answers"}},
		AfterHost: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " has a runtime"}} },
		AfterNode: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " has a kubelet"}} },
	}
	for _, h := range spec.Hosts {
		if h.Name != "w2" {
			in.Hosts[h.Name] = facts.Host{
				Interfaces: []facts.Interface{{Name: "lo", MTU: 65536}, {Name: "eth0", MTU: 1450, Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(h.Address), 24)}}},
				Kubernetes: facts.Kubernetes{Joined: h.Name == "cp1"},
			}
		}
	}
	return in
}

func TestSteps(t *testing.T) {
	for _, c := range []struct{ name, more string }{
		{"vxlan", ""},
		{"host-gw", "network: {flannel: {backend: host-gw}, mtu: 9000, masquerade: false}\nkubeProxy: {mode: iptables}\n"},
		{"both-families", "network: {" + both + ", mtu: 1400, flannel: {port: 4789, directRouting: true}}\n"},
		{"ipv6-first", "network: {podRanges: [\"fd00:1::/56\", 10.244.0.0/16], serviceRanges: [\"fd00:2::/112\", 10.96.0.0/16]}\n"},
		{"none", "network: {plugin: none}\n"},
		{"routed", "network: {plugin: routed}\n"},
		{"routed-masquerade", "network: {" + both + ", plugin: routed, masquerade: true, mtu: 9000, routed: {unmasqueraded: [10.0.0.0/8, \"fd00::/8\"]}}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, problems := Steps(input(t, c.more))
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestWithoutImage(t *testing.T) {
	in := input(t, "")
	in.Bundle.Parts = nil
	steps, problems := Steps(in)
	if len(steps) != 0 || len(problems) != 1 || !problems[0].Blocks {
		t.Errorf("there are %v, %v", steps, problems)
	}
}

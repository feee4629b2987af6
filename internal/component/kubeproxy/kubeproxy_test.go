package kubeproxy

import (
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

// input is of the cluster with more in its file, whose hosts are of one kind.
func input(t *testing.T, more string, f facts.Host) Input {
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
		Cluster: &cluster.Cluster{Cluster: spec}, Hosts: map[string]facts.Host{}, Executor: "cp2",
		Bundle: &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Image, Name: "registry.k8s.io/kube-proxy:v1.37.1"}}},
		API:    resource.API{Servers: []string{"10.0.0.12:6443", "10.0.0.11:6443", "10.0.0.13:6443"}},
		After:  []plan.Condition{{Name: "the API answers"}},
	}
	for _, h := range spec.Hosts {
		in.Hosts[h.Name] = f
	}
	return in
}

var (
	server    = facts.Host{LoadModules: true}
	container = facts.Host{Container: true, Virtualization: "systemd-nspawn"}
)

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name, more string
		host       facts.Host
		config     map[string]any
	}{
		{name: "servers", host: server},
		{name: "containers", more: "kubeProxy: {mode: iptables}\n", host: container, config: map[string]any{
			"conntrack": map[string]any{"min": 4096, "tcpCloseWaitTimeout": "1h"}, "metricsBindAddress": "0.0.0.0:10249"}},
		{name: "ipvs", more: "kubeProxy: {mode: ipvs}\nnetwork: {podRanges: [\"fd00:1::/56\", 10.244.0.0/16], serviceRanges: [\"fd00:2::/112\", 10.96.0.0/16]}\n", host: server},
		{name: "ipvs-containers", more: "kubeProxy: {mode: ipvs}\n", host: container},
		{name: "disabled", more: "kubeProxy: {disabled: true}\n", host: server},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(t, c.more, c.host)
			in.Cluster.KubeProxy.Config = c.config
			steps, problems := Steps(in)
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestWithoutImage(t *testing.T) {
	in := input(t, "", server)
	in.Bundle.Parts = nil
	steps, problems := Steps(in)
	if len(steps) != 0 || len(problems) != 1 || !problems[0].Blocks {
		t.Errorf("there are %v, %v", steps, problems)
	}
}

// A Pod reads its configuration when it starts, so a change has to start it anew; and a new host must change nothing.
func TestPodsStartAnewWhenTheConfigurationChanges(t *testing.T) {
	daemonSet := func(in Input) string {
		steps, _ := Steps(in)
		for _, r := range steps[0].Resources {
			if o, ok := r.(resource.KubeObject); ok && strings.HasPrefix(o.ID().Name, "DaemonSet") {
				return string(o.Object)
			}
		}
		t.Fatal("there is no DaemonSet")
		return ""
	}
	before := daemonSet(input(t, "", server))
	in := input(t, "", server)
	in.Cluster.KubeProxy.Config = map[string]any{"conntrack": map[string]any{"min": 4096}}
	if daemonSet(in) == before {
		t.Error("Pods stay when the configuration changes")
	}
	if daemonSet(input(t, "- {name: w3, address: 10.0.0.23, roles: [worker]}\n", server)) != before {
		t.Error("Pods start anew when a host comes")
	}
}

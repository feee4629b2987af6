package metricsserver

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: w2, address: 10.0.0.22, roles: [worker]}
`

func input(t *testing.T, text string) Input {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Cluster: &cluster.Cluster{Cluster: spec}, Executor: "cp1",
		Bundle: &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Image, Name: "registry.k8s.io/metrics-server/metrics-server:v0.9.0"}}},
		API:    resource.API{Servers: []string{"10.0.0.11:6443"}},
		After:  []plan.Condition{{Name: "the API answers"}},
	}
}

func TestSteps(t *testing.T) {
	alone, _, _ := strings.Cut(file, "- {name: w1")
	for _, c := range []struct{ name, text string }{
		{"standard", file},
		{"no-workers", alone + "addons: {metricsServer: {replicas: 2}}\n"},
		{"standalone", file + "controlPlane: {standalone: true}\naddons: {metricsServer: {replicas: 3}}\n"}, // a host has room for one
		{"disabled", file + "addons: {metricsServer: {disabled: true}}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, problems := Steps(input(t, c.text))
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestWithoutImage(t *testing.T) {
	in := input(t, file)
	in.Bundle.Parts = nil
	steps, problems := Steps(in)
	if len(steps) != 0 || len(problems) != 1 || !problems[0].Blocks {
		t.Errorf("there are %v, %v", steps, problems)
	}
}

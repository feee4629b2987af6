// Package metricsserver is what "kubectl top" and autoscalers ask. It decides by the model and the bundle, and does nothing itself.
package metricsserver

import (
	_ "embed"
	"fmt"
	"maps"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step, Component that of its objects.
const (
	Step      = "metrics-server"
	Component = "metrics-server"
)

// Input is what the step is made of.
type Input struct {
	// Cluster is what shall be.
	Cluster *cluster.Cluster
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// API is how Executor reaches the Kubernetes API.
	API resource.API
	// Executor is the host that the step runs on.
	Executor string
	// After is what the step waits for.
	After []plan.Condition
}

//go:embed metrics-server.yaml
var manifest string

// Steps are one step, and what stands in its way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	step := plan.Step{StepID: plan.StepID{Host: in.Executor, Name: Step}, Requires: in.After}
	if in.Cluster.Addons.MetricsServer.Disabled {
		step.Resources = resource.OnlyObjects(in.API, Component, nil)
		return []plan.Step{step}, nil
	}
	image, found := in.Bundle.Image("metrics-server")
	if !found {
		return nil, []plan.Problem{{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no image metrics-server", in.Bundle.Kubernetes),
			Remedy: "Build it again with \"kubewright bundle build\""}}
	}
	replicas := in.Cluster.Addons.MetricsServer.Replicas
	values := map[string]any{
		"image":       image.Name,
		"replicas":    replicas,
		"unavailable": min(replicas-1, 1), // upstream: 0 of one, 1 of more
		"surge":       nil,
		"tolerations": tolerations(in.Cluster),
		"hostNetwork": nil,
		"port":        10250,
		"securePort":  "--secure-port=10250",
	}
	if in.Cluster.ControlPlane.Standalone {
		maps.Copy(values, onHosts(replicas, len(in.Cluster.Nodes())))
	}
	objects, err := resource.ObjectsOf(in.API, Component, manifest, values)
	if err != nil {
		return nil, []plan.Problem{{Blocks: true, Message: err.Error()}}
	}
	step.Resources = resource.OnlyObjects(in.API, Component, objects)
	step.Ensures = []resource.Probe{resource.Rollout{API: in.API, Kind: "Deployment", Namespace: "kube-system", Name: "metrics-server"}}
	return []plan.Step{step}, nil
}

// onHosts are values where API servers reach no Pods but those that have the network of their host. The kubelet has upstream's port there. One host has room for one of them, so an old one goes before a
// new one comes.
func onHosts(replicas, nodes int) map[string]any {
	return map[string]any{
		"replicas": min(replicas, nodes), "unavailable": 1, "surge": 0, "hostNetwork": true,
		"port": v1alpha1.MetricsPort, "securePort": fmt.Sprintf("--secure-port=%d", v1alpha1.MetricsPort),
	}
}

// tolerations are upstream's, none, unless there is no other node than control planes.
func tolerations(c *cluster.Cluster) any {
	if len(c.With(v1alpha1.Worker)) > 0 {
		return nil
	}
	return []any{map[string]string{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}}
}

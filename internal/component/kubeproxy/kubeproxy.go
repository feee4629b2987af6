// Package kubeproxy has Services reach their Pods from every node, by kube-proxy as kubeadm runs it. It decides by the model, the bundle and what machines are, and
// does nothing itself.
package kubeproxy

import (
	_ "embed"
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step, Component that of its objects.
const (
	Step      = "kube-proxy"
	Component = "kube-proxy"
)

// Input is what the step is made of.
type Input struct {
	// Cluster is what shall be.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// API is how Executor reaches the Kubernetes API.
	API resource.API
	// Executor is the host that the step runs on.
	Executor string
	// After is what the step waits for.
	After []plan.Condition
}

//go:embed kube-proxy.yaml
var manifest string

// Steps are one step, and what stands in its way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	step := plan.Step{StepID: plan.StepID{Host: in.Executor, Name: Step}, Requires: in.After}
	if in.Cluster.KubeProxy.Disabled {
		step.Resources = resource.OnlyObjects(in.API, Component, nil)
		return []plan.Step{step}, nil
	}
	problems := unfit(in)
	image, found := in.Bundle.Image("kube-proxy")
	if !found {
		return nil, append(problems, plan.Problem{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no image kube-proxy", in.Bundle.Kubernetes),
			Remedy: "Build it again with \"kubewright bundle build\""})
	}
	configuration, err := configuration(in)
	if err != nil {
		return nil, append(problems, plan.Problem{Blocks: true, Message: err.Error(), Remedy: "Correct kubeProxy.config in the cluster file"})
	}
	kubeconfig := kubeconfig(in.Cluster)
	objects, err := resource.ObjectsOf(in.API, Component, manifest, map[string]any{
		"configuration": configuration,
		"kubeconfig":    kubeconfig,
		"digest":        resource.DigestOf([]byte(configuration + kubeconfig)),
		"image":         image.Name,
	})
	if err != nil {
		return nil, append(problems, plan.Problem{Blocks: true, Message: err.Error()})
	}
	step.Resources = resource.OnlyObjects(in.API, Component, objects)
	step.Ensures = []resource.Probe{resource.Rollout{API: in.API, Kind: "DaemonSet", Namespace: "kube-system", Name: "kube-proxy"}}
	return []plan.Step{step}, problems
}

// unfit are nodes whose kernel cannot do what the mode needs. Of others it is found out when their modules are loaded, as hostPreparation.kernelModules says.
func unfit(in Input) []plan.Problem {
	if in.Cluster.KubeProxy.Mode != v1alpha1.IPVS {
		return nil
	}
	var list []plan.Problem
	for _, h := range in.Cluster.Nodes() {
		if f := in.Hosts[h.Name]; f.Container {
			list = append(list, plan.Problem{Host: h.Name, Blocks: true,
				Message: "kube-proxy's mode ipvs needs kernel modules of its own, and it shares its kernel with others (" + f.Virtualization + "), so none can be loaded",
				Remedy:  "Say kubeProxy.mode: nftables in the cluster file"})
		}
	}
	return list
}

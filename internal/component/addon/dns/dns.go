// Package dns is the cluster's name service: CoreDNS as kubeadm runs it. It decides by the model and the bundle, and does nothing itself.
package dns

import (
	_ "embed"
	"fmt"
	"net/netip"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step, Component that of its objects.
const (
	Step      = "CoreDNS"
	Component = "dns"
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

//go:embed coredns.yaml
var manifest string

// serviceAddress is which address of the Services' ranges names are asked for at, as kubeadm has it (GetDNSIP in cmd/kubeadm/app/constants).
const serviceAddress = 10

// Steps are one step, and what stands in its way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	step := plan.Step{StepID: plan.StepID{Host: in.Executor, Name: Step}, Requires: in.After}
	if in.Cluster.Addons.CoreDNS.Disabled {
		step.Resources = resource.OnlyObjects(in.API, Component, nil)
		return []plan.Step{step}, nil
	}
	image, found := in.Bundle.Image("coredns")
	if !found {
		return nil, []plan.Problem{{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no image coredns", in.Bundle.Kubernetes),
			Remedy: "Build it again with \"kubewright bundle build\""}}
	}
	corefile, problems := corefile(in)
	values := map[string]any{"image": image.Name, "corefile": corefile, "replicas": in.Cluster.Addons.CoreDNS.Replicas}
	addService(values, in.Cluster.ServiceAddress(serviceAddress))
	objects, err := resource.ObjectsOf(in.API, Component, manifest, values)
	if err != nil {
		return nil, []plan.Problem{{Blocks: true, Message: err.Error()}}
	}
	step.Resources = resource.OnlyObjects(in.API, Component, objects)
	step.Ensures = []resource.Probe{resource.Rollout{API: in.API, Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}}
	return []plan.Step{step}, problems
}

// addService says at which addresses the Service is: kubeadm has one of the first family; where there are two, kubelets name both to Pods, so it is at both.
func addService(values map[string]any, addresses []netip.Addr) {
	values["address"], values["addresses"], values["families"], values["policy"] = nil, nil, nil, nil
	if len(addresses) > 0 {
		values["address"] = addresses[0]
	}
	if len(addresses) < 2 {
		return
	}
	var families []string
	for _, a := range addresses {
		if a.Is4() {
			families = append(families, "IPv4")
		} else {
			families = append(families, "IPv6")
		}
	}
	values["addresses"], values["families"], values["policy"] = addresses, families, "RequireDualStack"
}

// Package network connects Pods on all nodes. By what is a seam: each plugin is in a file of its own. It decides by the model and the bundle, and does nothing itself.
package network

import (
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the cluster's step, HostStep that of the step on each node, Component that of the objects.
const (
	Step      = "pod network"
	HostStep  = "network configuration"
	Component = "pod-network"
)

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// API is how Executor reaches the Kubernetes API.
	API resource.API
	// Executor is the host that the cluster's step runs on.
	Executor string
	// After is what the cluster's step waits for.
	After []plan.Condition
	// AfterHost is what the step on a node waits for, the runtime's directories among it; may be nil.
	AfterHost func(host string) []plan.Condition
	// AfterNode is what it waits for besides if it asks the API for the node: that its kubelet runs, and may register it; may be nil.
	AfterNode func(host string) []plan.Condition
}

// plugin is what connects Pods.
type plugin struct {
	// objects of the cluster.
	objects func(in Input) ([]resource.KubeObject, error)
	// files of a node.
	files func(in Input, h v1alpha1.Host) []resource.Resource
	// ofNode says that what the files are depends on the node in the API.
	ofNode bool
	// ensures is what has to be well when they are there.
	ensures func(in Input) []resource.Probe
	// problems are what people have to know; may be nil.
	problems func(in Input) []plan.Problem
}

// pluginOf is the plugin that the cluster file names. It was checked to name one.
func pluginOf(c *cluster.Cluster) plugin {
	plugins := map[v1alpha1.Plugin]plugin{
		v1alpha1.Flannel:  {objects: flannelObjects, files: flannelFiles, ensures: flannelEnsures},
		v1alpha1.Routed:   {files: routedFiles, ofNode: true, problems: routesWanted},
		v1alpha1.NoPlugin: {},
	}
	return plugins[c.Network.Plugin]
}

// Steps are one step for the cluster and one for each node that answered, and what stands in their way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	p := pluginOf(in.Cluster)
	var objects []resource.KubeObject
	var ensures []resource.Probe
	if p.objects != nil {
		var err error
		if objects, err = p.objects(in); err != nil {
			return nil, []plan.Problem{{Blocks: true, Message: err.Error(), Remedy: "Build the bundle again with \"kubewright bundle build\""}}
		}
		ensures = p.ensures(in)
	}
	steps := []plan.Step{{
		StepID:    plan.StepID{Host: in.Executor, Name: Step},
		Resources: resource.OnlyObjects(in.API, Component, objects), Ensures: ensures, Requires: in.After,
	}}
	if p.files == nil {
		return steps, nil
	}
	for _, h := range in.Cluster.Nodes() {
		if _, answered := in.Hosts[h.Name]; !answered {
			continue
		}
		s := plan.Step{StepID: plan.StepID{Host: h.Name, Name: HostStep}, Resources: p.files(in, h)}
		if in.AfterHost != nil {
			s.Requires = in.AfterHost(h.Name)
		}
		if p.ofNode && in.AfterNode != nil {
			s.Requires = append(s.Requires, in.AfterNode(h.Name)...)
		}
		steps = append(steps, s)
	}
	if p.problems == nil {
		return steps, nil
	}
	return steps, p.problems(in)
}

// image of a plugin.
func image(b *bundle.Bundle, name string) (string, error) {
	p, found := b.Image(name)
	if !found {
		return "", fmt.Errorf("the bundle of Kubernetes %s has no image %s", b.Kubernetes, name)
	}
	return p.Name, nil
}

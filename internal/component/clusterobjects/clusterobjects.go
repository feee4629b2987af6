// Package clusterobjects are the objects of the API that a cluster has besides what runs in it, as kubeadm leaves them: who may do what, how kubelets join, what kubeadm
// itself and its users read of the cluster; and which nodes there shall be. It decides by the model and the bundle, and does nothing itself.
package clusterobjects

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// The names of steps, in their order; Component is that of the objects.
const (
	Roles     = "cluster roles"
	Join      = "joining"
	Records   = "cluster records"
	Component = "cluster"
)

// superAdmin is the kubeconfig that may do everything without anything in the API saying so.
const superAdmin = "/etc/kubernetes/super-admin.conf"

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be. All hosts have their InternalAddresses.
	Cluster *cluster.Cluster
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// API is how Executor reaches the Kubernetes API.
	API resource.API
	// Executor is the host that the steps run on.
	Executor string
	// CA is the certificate of the authority "ca" in PEM form; with others if it is being replaced.
	CA string
	// KubeletConfig is the part of KubeletConfiguration that all kubelets have, in YAML.
	KubeletConfig []byte
	// Programs are what programs of the control plane have besides kubeadm's own, by name: "kube-apiserver".
	Programs map[string]Program
	// Left are the names of hosts that left the cluster without having been reset: they shall not come back by themselves.
	Left []string
	// Joining says that some kubelet has no credentials yet.
	Joining bool
	// After is what the first step waits for.
	After []plan.Condition
}

//go:embed cluster-admins.yaml
var clusterAdmins string

//go:embed roles.yaml
var roles string

//go:embed records.yaml
var records string

//go:embed left.yaml
var left string

// Steps are three steps, and what stands in their way. Kubelets can join when the second is done.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	values, err := values(in)
	if err != nil {
		return nil, []plan.Problem{{Blocks: true, Message: err.Error()}}
	}
	// Until the first step is done, the API lets others see nothing, so that what is there could not be found out.
	privileged := in.API
	privileged.Kubeconfig = superAdmin
	last := records
	if len(in.Left) > 0 {
		last += "\n---\n" + left
	}
	var objects [3][]resource.KubeObject
	for i, of := range []struct {
		api      resource.API
		manifest string
	}{{privileged, clusterAdmins}, {privileged, roles}, {in.API, last}} {
		if objects[i], err = resource.ObjectsOf(of.api, Component, of.manifest, values); err != nil {
			return nil, []plan.Problem{{Blocks: true, Message: err.Error()}}
		}
	}
	step := func(name string, after []plan.Condition) plan.Step {
		return plan.Step{StepID: plan.StepID{Host: in.Executor, Name: name}, Requires: after}
	}
	first := step(Roles, in.After)
	for _, o := range slices.Concat(objects[0], objects[1]) {
		first.Resources = append(first.Resources, o)
	}
	second := step(Join, []plan.Condition{plan.After(first.StepID)})
	if in.Joining {
		second.Resources = []resource.Resource{resource.BootstrapToken{API: in.API}}
	}
	third := step(Records, []plan.Condition{plan.After(first.StepID)})
	for _, o := range objects[2] {
		third.Resources = append(third.Resources, o)
	}
	third.Resources = append(third.Resources, resource.NewKubeObjects(in.API, Component, slices.Concat(objects[:]...)))
	return []plan.Step{first, second, third}, nil
}

// values are what records hold.
func values(in Input) (map[string]any, error) {
	configuration, err := clusterConfiguration(in)
	if err != nil {
		return nil, err
	}
	inventory, err := inventory(in.Cluster)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range in.Left {
		names = append(names, "'"+name+"'") // names of hosts need no quoting in CEL
	}
	return map[string]any{
		"expression":           "!(object.metadata.name in [" + strings.Join(names, ", ") + "])",
		"clusterConfiguration": configuration,
		"kubeletConfiguration": string(in.KubeletConfig),
		"clusterInfo":          clusterInfo(in),
		"inventory":            inventory,
	}, nil
}

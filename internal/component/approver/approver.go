// Package approver has the cluster approve the certificates that kubelets serve with, when they are renewed and nobody runs Kubewright: by Pods that know which
// nodes there are and which addresses they have. It decides by the model and the bundle, and does nothing itself.
package approver

import (
	_ "embed"
	"fmt"
	"net"
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step, Component that of its objects.
const (
	Step      = "approver"
	Component = "approver"
)

// healthPort is where the approver says whether it works, on loopback of control planes. 10248 to 10260 are Kubernetes' own (pkg/cluster/ports, cloud-provider/options
// and kube-scheduler of v1.37.1); this is the next one.
const healthPort = 10261

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

//go:embed approver.yaml
var manifest string

// Steps are one step, and what stands in its way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	image, found := in.Bundle.Image("kubewright-approver")
	if !found {
		return nil, []plan.Problem{{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no image kubewright-approver", in.Bundle.Kubernetes),
			Remedy: "Build it again with \"kubewright bundle build\""}}
	}
	hosts, on := in.Cluster.With(v1alpha1.ControlPlane), controlPlanesOnly()
	if in.Cluster.ControlPlane.Standalone {
		hosts, on = in.Cluster.Nodes(), nil // no other hosts have Pods
	}
	objects, err := resource.ObjectsOf(in.API, Component, manifest, map[string]any{
		"image":      image.Name,
		"replicas":   min(2, len(hosts)),
		"on":         on,
		"arguments":  []string{"--health-address=" + net.JoinHostPort("127.0.0.1", strconv.Itoa(healthPort))},
		"healthPort": healthPort,
		"endpoint":   in.Cluster.Endpoint.Name,
		"port":       strconv.Itoa(in.Cluster.Cluster.APIServer.Port),
	})
	if err != nil {
		return nil, []plan.Problem{{Blocks: true, Message: err.Error()}}
	}
	return []plan.Step{{
		StepID:    plan.StepID{Host: in.Executor, Name: Step},
		Resources: resource.OnlyObjects(in.API, Component, objects),
		Ensures:   []resource.Probe{resource.Rollout{API: in.API, Kind: "Deployment", Namespace: "kube-system", Name: "kubewright-approver"}},
		Requires:  in.After,
	}}, nil
}

// controlPlanesOnly has it on no worker: its token may approve certificates. Pods wait for control planes to have their label, and apply approves until then.
func controlPlanesOnly() any {
	term := map[string]any{"matchExpressions": []any{map[string]any{"key": cluster.ControlPlaneRole, "operator": "Exists"}}}
	return map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{term}}}
}

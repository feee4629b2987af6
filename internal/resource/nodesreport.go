package resource

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// NodesReport looks at the nodes that the API knows. It finds a list of NodeFound.
type NodesReport struct {
	API API `json:"api"`
}

// NodeFound is a node as the API knows it.
type NodeFound struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Why it is not ready.
	Why string `json:"why,omitempty"`
	// Cordoned says that no Pods are put on it.
	Cordoned bool `json:"cordoned,omitempty"`
	// Pressure is what it lacks: "MemoryPressure", "DiskPressure", "PIDPressure".
	Pressure []string `json:"pressure,omitempty"`
	// Kubelet is the version of its kubelet: "v1.37.1".
	Kubelet string `json:"kubelet,omitempty"`
	// Runtime is its container runtime: "containerd://2.4.2".
	Runtime   string   `json:"runtime,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	// PodRanges are those of its Pods, the first family first; none before the controller manager gave it some.
	PodRanges []string `json:"podRanges,omitempty"`
	// Roles are those that its labels name: "control-plane".
	Roles []string `json:"roles,omitempty"`
}

// ID is the same everywhere.
func (r NodesReport) ID() ID { return ID{"nodes", "cluster"} }

// Look reads them, in order of their names.
func (r NodesReport) Look(ctx context.Context, env *Env) (any, error) {
	c, err := r.API.open(ctx, env)
	if err != nil {
		return nil, err
	}
	list, err := c.List(ctx, nodeRef(""), "")
	if err != nil {
		return nil, passing(err)
	}
	found := []NodeFound{}
	for _, n := range list {
		found = append(found, nodeFound(&n))
	}
	slices.SortFunc(found, func(a, b NodeFound) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func nodeFound(n *unstructured.Unstructured) NodeFound {
	f := NodeFound{Name: n.GetName()}
	f.Ready, f.Why = nodeReady(n)
	f.Cordoned, _, _ = unstructured.NestedBool(n.Object, "spec", "unschedulable")
	for _, kind := range []string{"MemoryPressure", "DiskPressure", "PIDPressure"} {
		if status, _, _ := condition(n, kind); status == "True" {
			f.Pressure = append(f.Pressure, kind)
		}
	}
	f.Kubelet, _, _ = unstructured.NestedString(n.Object, "status", "nodeInfo", "kubeletVersion")
	f.Runtime, _, _ = unstructured.NestedString(n.Object, "status", "nodeInfo", "containerRuntimeVersion")
	addresses, _, _ := unstructured.NestedSlice(n.Object, "status", "addresses")
	for _, item := range addresses {
		a, _ := item.(map[string]any)
		if address, _ := a["address"].(string); a["type"] == "InternalIP" && address != "" {
			f.Addresses = append(f.Addresses, address)
		}
	}
	f.PodRanges = podRanges(n)
	for label := range n.GetLabels() {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok && role != "" {
			f.Roles = append(f.Roles, role)
		}
	}
	slices.Sort(f.Roles)
	return f
}

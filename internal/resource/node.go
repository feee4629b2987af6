package resource

import (
	"context"
)

// NodeTaint is a taint of a node.
type NodeTaint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Node is the node of a machine in the API, as far as the cluster file speaks of it. It is never made: its kubelet registers it, and applying this waits for that, two
// minutes at most.
type Node struct {
	API  API    `json:"api"`
	Name string `json:"name"`
	// Labels and Taints that it shall have; others may be there. Those that Kubewright set before and that are no longer wanted go.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []NodeTaint       `json:"taints,omitempty"`
}

// ID is the name.
func (n Node) ID() ID { return ID{"node", n.Name} }

// OfCluster says that it is the cluster's.
func (n Node) OfCluster() {}

// Observe is not there yet.
func (r Node) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r Node) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r Node) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r Node) Undo(context.Context, *Env, Observed) error { return errNotYet }

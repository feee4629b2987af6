package resource

import (
	"context"
)

// ComponentLabel is the label of objects that says which part of the cluster they make up. ManagedByLabel says that Kubewright applied them.
const (
	ComponentLabel = "kubewright.dev/component"
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "kubewright"
)

// KubeObjects are all objects that some part of a cluster is made up of: what has its labels (ComponentLabel and ManagedByLabel) and is not listed goes.
type KubeObjects struct {
	API API `json:"api"`
	// Component is the value of ComponentLabel: "dns".
	Component string `json:"component"`
	// Keep are the objects that belong, as KubeObject.ID names them: "ConfigMap kube-system/coredns".
	Keep []string `json:"keep,omitempty"`
}

// ID is the component.
func (k KubeObjects) ID() ID { return ID{"objects", k.Component} }

// OfCluster says that it is the cluster's.
func (k KubeObjects) OfCluster() {}

// Observe is not there yet.
func (r KubeObjects) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r KubeObjects) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r KubeObjects) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r KubeObjects) Undo(context.Context, *Env, Observed) error { return errNotYet }

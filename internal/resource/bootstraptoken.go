package resource

import (
	"context"
)

// BootstrapToken is the token (Secret of type bootstrap.kubernetes.io/token in kube-system) that kubelets join with, for an hour.
type BootstrapToken struct {
	API API `json:"api"`
}

// ID is the same everywhere.
func (b BootstrapToken) ID() ID { return ID{"bootstrap-token", "kubelets"} }

// Secrets is the token.
func (b BootstrapToken) Secrets() []string { return []string{BootstrapTokenSecret} }

// OfCluster says that it is the cluster's.
func (b BootstrapToken) OfCluster() {}

// Observe is not there yet.
func (r BootstrapToken) Observe(context.Context, *Env) (Observed, error) {
	return Observed{}, errNotYet
}

// Diff is not there yet.
func (r BootstrapToken) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r BootstrapToken) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r BootstrapToken) Undo(context.Context, *Env, Observed) error { return errNotYet }

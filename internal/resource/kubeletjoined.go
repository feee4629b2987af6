package resource

import (
	"context"
)

// KubeletJoined is a kubelet that has its own certificate, and no token any more: it stands after the unit in the same step. Applying it waits for the kubelet to get
// it, two minutes at most, and removes the file with the token.
type KubeletJoined struct {
	// Node is the name that the certificate has to be for.
	Node string `json:"node"`
}

// ID is the same everywhere.
func (k KubeletJoined) ID() ID { return ID{"kubelet-joined", "kubelet"} }

// Observe is not there yet.
func (r KubeletJoined) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r KubeletJoined) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r KubeletJoined) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r KubeletJoined) Undo(context.Context, *Env, Observed) error { return errNotYet }

package resource

import (
	"context"

	"github.com/kubewright/kubewright/internal/pki"
)

// Kubeconfig is a file by which a program or a person reaches the API, with a certificate of its own in it, 0600 root:root. The key is made on the machine. It is
// renewed as a Certificate is.
type Kubeconfig struct {
	// Path of the file: "/etc/kubernetes/admin.conf".
	Path string `json:"path"`
	// Cluster is the cluster's name in it.
	Cluster string `json:"cluster"`
	// Server is its address: "https://api.prod.internal:6443".
	Server string `json:"server"`
	// Request is what its certificate says. The common name is the user's name in it.
	Request pki.Request `json:"request"`
}

// ID is the path.
func (k Kubeconfig) ID() ID { return ID{"kubeconfig", k.Path} }

// Requested is what its certificate says.
func (k Kubeconfig) Requested() pki.Request { return k.Request }

// Observe is not there yet.
func (r Kubeconfig) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r Kubeconfig) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r Kubeconfig) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r Kubeconfig) Undo(context.Context, *Env, Observed) error { return errNotYet }

package resource

import (
	"context"

	"github.com/kubewright/kubewright/internal/pki"
)

// Certificate is a certificate with its key, which is made on the machine: Path.crt and Path.key. It is renewed when it does not say what it shall, when another
// authority lies below PKIDir than the one that signed it, and when less than a third of its time is left.
type Certificate struct {
	// Path without its ending: "/etc/kubernetes/pki/apiserver".
	Path string `json:"path"`
	// Request is what it says.
	Request pki.Request `json:"request"`
}

// ID is the path.
func (c Certificate) ID() ID { return ID{"certificate", c.Path} }

// Requested is what it says.
func (c Certificate) Requested() pki.Request { return c.Request }

// Observe is not there yet.
func (r Certificate) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r Certificate) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r Certificate) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r Certificate) Undo(context.Context, *Env, Observed) error { return errNotYet }

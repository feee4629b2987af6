package resource

import (
	"context"
	"errors"
)

var errNotYet = errors.New("not there yet")

// PKIDir is where a machine has keys and certificates, as kubeadm has them.
const PKIDir = "/etc/kubernetes/pki"

// Authority is the certificate of an authority, with its key on those that sign by it: PKIDir/NAME.crt and NAME.key. One that is there already is never replaced by
// another.
type Authority struct {
	// Name is that of pki: "ca", "etcd/ca".
	Name string `json:"name"`
	// Certificate in PEM form.
	Certificate string `json:"certificate"`
	// Key says that its key belongs here, too. It is the secret "NAME.key".
	Key bool `json:"key,omitempty"`
}

// ID is its name.
func (a Authority) ID() ID { return ID{"authority", a.Name} }

// Secrets is the key.
func (a Authority) Secrets() []string {
	if !a.Key {
		return nil
	}
	return []string{a.Name + ".key"}
}

// Observe is not there yet.
func (r Authority) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r Authority) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r Authority) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r Authority) Undo(context.Context, *Env, Observed) error { return errNotYet }

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

func (c Certificate) key() part { return part{"key", c.Path + ".key", 0o600} }

func (c Certificate) crt() part { return part{"certificate", c.Path + ".crt", 0o644} }

// Keeps are what certificate and key held before.
func (c Certificate) Keeps() []string { return []string{c.crt().path, c.key().path} }

// Observe reads both. On a machine that has neither, the authority may be missing, too: that is there by the time it is needed.
func (c Certificate) Observe(ctx context.Context, env *Env) (Observed, error) {
	o := Observed{State: Absent}
	key, err := c.key().observe(ctx, env, &o)
	if err != nil {
		return Observed{}, err
	}
	certificate, err := c.crt().observe(ctx, env, &o)
	if err != nil || o.State == Absent {
		return o, err
	}
	o.Values["problem"], err = certificateProblem(env, certificate, key, c.Request)
	return o, err
}

// Diff says why it is made anew.
func (c Certificate) Diff(o Observed) []Change {
	switch {
	case o.State == Absent:
		return []Change{{What: "present", Old: "absent", New: "present"}}
	case o.Value("problem") != "":
		return []Change{{What: "renewed", Why: o.Value("problem")}}
	}
	return append(c.crt().changes(o), c.key().changes(o)...)
}

// Apply makes both anew if they are not as they shall be. The certificate is written last: cut off before, it does not fit its key, and both are made again.
func (c Certificate) Apply(ctx context.Context, env *Env) error {
	o, err := c.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(c.Diff(o)) == 0:
		return nil
	}
	var certificate, key []byte
	if o.State == Absent || o.Value("problem") != "" {
		certificate, key, err = certify(ctx, env, c.ID(), c.Request)
	} else if certificate, err = readIfThere(env, c.crt().path); err == nil {
		key, err = readIfThere(env, c.key().path)
	}
	if err != nil {
		return err
	}
	if err := c.key().write(env, o, key); err != nil {
		return err
	}
	return c.crt().write(env, o, certificate)
}

// Undo puts back what was there.
func (c Certificate) Undo(_ context.Context, env *Env, previous Observed) error {
	if err := c.crt().undo(env, previous); err != nil {
		return err
	}
	return c.key().undo(env, previous)
}

package resource

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/internal/pki"
)

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

func (a Authority) crt() part { return part{"certificate", authorityPath(a.Name), 0o644} }

func (a Authority) key() part { return part{"key", PKIDir + "/" + a.Name + ".key", 0o600} }

// Keeps are the files whose permissions it may change; their directories go with them.
func (a Authority) Keeps() []string {
	if !a.Key {
		return []string{a.crt().path}
	}
	return []string{a.crt().path, a.key().path}
}

// Observe reads it. Another authority, or the key of another, is for people to take away.
func (a Authority) Observe(ctx context.Context, env *Env) (Observed, error) {
	o := Observed{State: Absent}
	if a.Key {
		key, err := a.key().observe(ctx, env, &o)
		if err != nil {
			return Observed{}, err
		}
		if a.key().was(o).State == Present && o.Blocked == "" {
			if _, err := pki.ParseAuthority([]byte(a.Certificate), key); err != nil {
				o.Blocked = fmt.Sprintf("%s is not the key of the cluster's authority (%v). If the machine belongs to another cluster, reset it there first; otherwise move the file away",
					a.key().path, err)
			}
		}
	}
	certificate, err := a.crt().observe(ctx, env, &o)
	if err != nil {
		return Observed{}, err
	}
	if a.crt().was(o).State == Present && o.Blocked == "" && !pki.Same(certificate, []byte(a.Certificate)) {
		o.Blocked = fmt.Sprintf("%s is another authority (%s) than the cluster's (%s). If the machine belongs to another cluster, reset it there first; otherwise move the file and its key away",
			a.crt().path, pki.Fingerprint(certificate), pki.Fingerprint([]byte(a.Certificate)))
	}
	return o, nil
}

// Diff says what is missing.
func (a Authority) Diff(o Observed) []Change {
	if a.crt().was(o).State == Absent {
		return []Change{{What: "present", Old: "absent", New: "present"}}
	}
	changes := a.crt().changes(o)
	if !a.Key {
		return changes
	}
	if a.key().was(o).State == Absent {
		return append(changes, Change{What: "key", Old: "absent", New: "present"})
	}
	return append(changes, a.key().changes(o)...)
}

// Apply writes what is missing, the key first: who finds the certificate finds the key, too.
func (a Authority) Apply(ctx context.Context, env *Env) error {
	o, err := a.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(a.Diff(o)) == 0:
		return nil
	}
	if a.Key {
		key, err := readIfThere(env, a.key().path)
		if err == nil && key == nil {
			key, err = a.askKey(ctx, env)
		}
		if err != nil {
			return err
		}
		if err := a.key().write(env, o, key); err != nil {
			return err
		}
	}
	certificate, err := readIfThere(env, a.crt().path)
	if err != nil {
		return err
	}
	if certificate == nil {
		certificate = []byte(a.Certificate)
	}
	return a.crt().write(env, o, certificate)
}

// askKey is the key as the other control planes have it.
func (a Authority) askKey(ctx context.Context, env *Env) ([]byte, error) {
	key, err := env.Secret(ctx, a.ID(), a.Name+".key")
	if err != nil {
		return nil, fmt.Errorf("getting the key of the authority %s: %w", a.Name, err)
	}
	if _, err := pki.ParseAuthority([]byte(a.Certificate), key); err != nil {
		return nil, fmt.Errorf("the key of the authority %s that came is not its: %w", a.Name, err)
	}
	return key, nil
}

// Undo takes away what it wrote, and gives the rest its permissions back.
func (a Authority) Undo(_ context.Context, env *Env, previous Observed) error {
	if err := a.crt().undo(env, previous); err != nil || !a.Key {
		return err
	}
	return a.key().undo(env, previous)
}

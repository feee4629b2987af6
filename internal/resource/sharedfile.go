package resource

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
)

// Files that control planes share.
const (
	ServiceAccountKey    = PKIDir + "/sa.key"
	ServiceAccountPublic = PKIDir + "/sa.pub"
	EncryptionConfig     = "/etc/kubernetes/encryption.yaml"
)

// SharedFiles are all of them.
func SharedFiles() []string {
	return []string{ServiceAccountKey, ServiceAccountPublic, EncryptionConfig}
}

// SharedFile is a file that all control planes have alike, and whose content is a secret that travels through memory alone. One that is there with another content is never
// replaced.
type SharedFile struct {
	Path string `json:"path"`
	// Mode is its permissions; 0600 if 0.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Secret is the name of its content.
	Secret string `json:"secret"`
	// Digest of its content ("sha256:…").
	Digest string `json:"digest"`
}

// ID is the path.
func (s SharedFile) ID() ID { return ID{"shared-file", s.Path} }

// Secrets is its content.
func (s SharedFile) Secrets() []string { return []string{s.Secret} }

func (s SharedFile) file() part { return part{"file", s.Path, cmp.Or(s.Mode, 0o600)} }

// Keeps is the file, whose permissions it may change; its directories go with it.
func (s SharedFile) Keeps() []string { return []string{s.Path} }

// Observe compares its digest. Another content is for people to take away.
func (s SharedFile) Observe(ctx context.Context, env *Env) (Observed, error) {
	o := Observed{State: Absent}
	content, err := s.file().observe(ctx, env, &o)
	if err != nil {
		return Observed{}, err
	}
	if o.State == Present && o.Blocked == "" && DigestOf(content) != s.Digest {
		o.Blocked = fmt.Sprintf("%s is not that of the cluster. If the machine belongs to another cluster, reset it there first; otherwise move the file away", s.Path)
	}
	return o, nil
}

// Diff compares type, mode and owner.
func (s SharedFile) Diff(o Observed) []Change {
	if o.State == Absent {
		return []Change{{What: "present", Old: "absent", New: "present"}}
	}
	return s.file().changes(o)
}

// Apply writes it if it is missing.
func (s SharedFile) Apply(ctx context.Context, env *Env) error {
	o, err := s.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(s.Diff(o)) == 0:
		return nil
	}
	content, err := readIfThere(env, s.Path)
	if err == nil && o.State == Absent {
		content, err = env.Secret(ctx, s.ID(), s.Secret)
	}
	if err != nil {
		return fmt.Errorf("getting the content of %s: %w", s.Path, err)
	}
	if got := DigestOf(content); got != s.Digest {
		return fmt.Errorf("the content of %s came as %s, not as %s", s.Path, short(got), short(s.Digest))
	}
	return s.file().write(env, o, content)
}

// Undo takes it away if it was not there, or gives it its permissions back.
func (s SharedFile) Undo(_ context.Context, env *Env, previous Observed) error {
	return s.file().undo(env, previous)
}

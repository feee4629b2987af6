package resource

import (
	"context"
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

// Observe is not there yet.
func (r SharedFile) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r SharedFile) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r SharedFile) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r SharedFile) Undo(context.Context, *Env, Observed) error { return errNotYet }

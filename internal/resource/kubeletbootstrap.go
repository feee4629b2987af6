package resource

import (
	"context"
)

// BootstrapTokenSecret is the name of the secret that kubelets join with: "abcdef.0123456789abcdef".
const BootstrapTokenSecret = "bootstrap-token"

// KubeletBootstrap is what a kubelet asks for its first certificate with: /etc/kubernetes/bootstrap-kubelet.conf, with a token in it. It is wanted only while the
// kubelet has no certificate that is valid (/etc/kubernetes/kubelet.conf).
type KubeletBootstrap struct {
	// Cluster and Server are those of a Kubeconfig.
	Cluster string `json:"cluster"`
	Server  string `json:"server"`
	// Node is the name that the certificate has to be for.
	Node string `json:"node"`
}

// ID is the same everywhere.
func (k KubeletBootstrap) ID() ID { return ID{"kubelet-bootstrap", "kubelet"} }

// Secrets is the token.
func (k KubeletBootstrap) Secrets() []string { return []string{BootstrapTokenSecret} }

// Observe is not there yet.
func (r KubeletBootstrap) Observe(context.Context, *Env) (Observed, error) {
	return Observed{}, errNotYet
}

// Diff is not there yet.
func (r KubeletBootstrap) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r KubeletBootstrap) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r KubeletBootstrap) Undo(context.Context, *Env, Observed) error { return errNotYet }

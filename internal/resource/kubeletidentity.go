package resource

import (
	"context"

	"github.com/kubewright/kubewright/internal/pki"
)

// KubeletIdentity is the first certificate of the kubelet of a machine that cannot ask an API server for one, since it is to run it: a control plane. The kubelet renews it
// by itself (/var/lib/kubelet/pki/kubelet-client-current.pem); it is made again when it has run out or is of another authority or node. /etc/kubernetes/kubelet.conf goes with it.
type KubeletIdentity struct {
	// Cluster and Server are those of a Kubeconfig.
	Cluster string `json:"cluster"`
	Server  string `json:"server"`
	// Request is what the certificate says: system:node:NAME.
	Request pki.Request `json:"request"`
}

// ID is the same everywhere.
func (k KubeletIdentity) ID() ID { return ID{"kubelet-identity", "kubelet"} }

// Requested is what it says.
func (k KubeletIdentity) Requested() pki.Request { return k.Request }

// Observe is not there yet.
func (r KubeletIdentity) Observe(context.Context, *Env) (Observed, error) {
	return Observed{}, errNotYet
}

// Diff is not there yet.
func (r KubeletIdentity) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r KubeletIdentity) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r KubeletIdentity) Undo(context.Context, *Env, Observed) error { return errNotYet }

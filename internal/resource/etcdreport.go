package resource

import (
	"context"

	"github.com/kubewright/kubewright/internal/etcd"
)

// EtcdReport looks at the member of etcd on the machine. It finds an etcd.Status; one without an ID if the member does not say how it is: Unwell says why.
type EtcdReport struct {
	// URL of the member: "https://127.0.0.1:2379".
	URL string `json:"url"`
	// Client is the certificate that it is asked with, by the name of its file below /etc/kubernetes/pki/etcd without extension: "healthcheck-client" if empty.
	Client string `json:"client,omitempty"`
}

// ID is the same on all machines, of one cluster of etcd.
func (r EtcdReport) ID() ID { return ID{"etcd-member", etcdName(r.Client, "machine")} }

// Look asks the member, with the certificate that lies there for such questions.
func (r EtcdReport) Look(ctx context.Context, env *Env) (any, error) {
	h, err := etcdClient(env, r.Client)
	if err != nil {
		return nil, err
	}
	defer h.CloseIdleConnections()
	s, err := etcd.Ask(ctx, h, r.URL)
	if err != nil && ctx.Err() == nil {
		return etcd.Status{Unwell: err.Error()}, nil
	}
	return s, err
}

package resource

import (
	"context"
	"fmt"
	"net/http"

	"github.com/kubewright/kubewright/internal/etcd"
)

// EtcdReport looks at the member of etcd on the machine. It finds an etcd.Status; one without an ID if the member does not say how it is: Unwell says why.
type EtcdReport struct {
	// URL of the member: "https://127.0.0.1:2379".
	URL string `json:"url"`
}

// ID is the same everywhere.
func (r EtcdReport) ID() ID { return ID{"etcd-member", "machine"} }

// Look asks the member, with the certificate that lies there for such questions.
func (r EtcdReport) Look(ctx context.Context, env *Env) (any, error) {
	const dir = PKIDir + "/etcd"
	c, err := HTTPAnswers{CA: dir + "/ca.crt", Certificate: dir + "/healthcheck-client"}.tls(env)
	if err != nil {
		return nil, fmt.Errorf("etcd cannot be asked: %w", err)
	}
	t := &http.Transport{TLSClientConfig: c}
	defer t.CloseIdleConnections()
	s, err := etcd.Ask(ctx, &http.Client{Transport: t}, r.URL)
	if err != nil && ctx.Err() == nil {
		return etcd.Status{Unwell: err.Error()}, nil
	}
	return s, err
}

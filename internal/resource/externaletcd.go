package resource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/internal/etcd"
)

// ExternalEtcdDir is where control planes have what they come to an etcd of the user's with: ca.crt, client.crt and client.key.
const ExternalEtcdDir = PKIDir + "/etcd-external"

// ExternalEtcd is a way to an etcd of the user's.
type ExternalEtcd struct {
	// Endpoints are URLs of members: "https://etcd1.example.com:2379".
	Endpoints []string `json:"endpoints"`
	// Prefix is what the names of all begin with that the API stores there: "/registry".
	Prefix string `json:"prefix"`
	// Access is what it is asked with; nil for what the machine has in ExternalEtcdDir.
	Access *ExternalEtcdAccess `json:"access,omitempty"`
}

// ExternalEtcdAccess is what an etcd of the user's is known by, and asked with, in PEM form. Only control planes are told it.
type ExternalEtcdAccess struct {
	Authority   []byte `json:"authority"`
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// ask asks all of its endpoints at once.
func (e ExternalEtcd) ask(ctx context.Context, env *Env) ([]etcd.Server, error) {
	config, err := e.tls(env)
	if err != nil {
		return nil, fmt.Errorf("your etcd cannot be asked: %w", err)
	}
	servers := make([]etcd.Server, len(e.Endpoints))
	var all sync.WaitGroup
	for i, at := range e.Endpoints {
		all.Go(func() { servers[i] = etcd.AskServer(ctx, config.Clone(), at, e.Prefix) })
	}
	all.Wait()
	return servers, ctx.Err()
}

func (e ExternalEtcd) tls(env *Env) (*tls.Config, error) {
	if e.Access == nil {
		return HTTPAnswers{CA: ExternalEtcdDir + "/ca.crt", Certificate: ExternalEtcdDir + "/client"}.tls(env)
	}
	pair, err := tls.X509KeyPair(e.Access.Certificate, e.Access.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate and its key: %w", err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if !c.RootCAs.AppendCertsFromPEM(e.Access.Authority) {
		return nil, errors.New("its authority is no certificate")
	}
	return c, nil
}

// ExternalEtcdReport looks at an etcd of the user's from the machine. It finds an etcd.Server for each endpoint, in their order.
type ExternalEtcdReport struct{ ExternalEtcd }

// ID is the same on all machines, of what is asked with the machine's own files, and of what is not.
func (r ExternalEtcdReport) ID() ID {
	if r.Access != nil {
		return ID{"external-etcd", "cluster file"}
	}
	return ID{"external-etcd", "machine"}
}

// Look asks once, for a few seconds at most.
func (r ExternalEtcdReport) Look(ctx context.Context, env *Env) (any, error) { return r.ask(ctx, env) }

// ExternalEtcdAnswers is well if some member of an etcd of the user's answers the machine that has a quorum with it.
type ExternalEtcdAnswers struct{ ExternalEtcd }

// ID is the same on all machines.
func (p ExternalEtcdAnswers) ID() ID { return ID{"external-etcd-answers", "machine"} }

// Check asks once.
func (p ExternalEtcdAnswers) Check(ctx context.Context, env *Env) (string, error) {
	servers, err := p.ask(ctx, env)
	if err != nil {
		return "", err
	}
	var why []string
	for _, s := range servers {
		if s.Unwell == "" {
			return "", nil
		}
		why = append(why, s.URL+": "+s.Unwell)
	}
	return "your etcd: " + strings.Join(why, "; "), nil
}

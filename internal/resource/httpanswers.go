package resource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/kubewright/kubewright/internal/kube"
)

// HTTPAnswers asks whether a server on the machine says that it is well: whether GET has the status 200.
type HTTPAnswers struct {
	// Name is who answers: "etcd".
	Name string `json:"name"`
	// URL to get: "https://127.0.0.1:6443/readyz".
	URL string `json:"url"`
	// CA is the file of the authority that its certificate has to be of, for https.
	CA string `json:"ca,omitempty"`
	// ServerName that its certificate has to be for, if not the URL's.
	ServerName string `json:"serverName,omitempty"`
	// Certificate is the path of a certificate and key to show, without ending; none if empty.
	Certificate string `json:"certificate,omitempty"`
}

const (
	// httpTime is how long a server may take to answer. Those that are well do in a fraction of it.
	httpTime = 3 * time.Second
	// maxSaid is how many bytes are read of what a server says of its health; an API server has about 3 KB to say.
	maxSaid = 64 << 10
	// maxPEM is more than files of keys and certificates have, in bytes.
	maxPEM = 1 << 20
)

// ID names who answers.
func (p HTTPAnswers) ID() ID { return ID{"http-answers", p.Name} }

// Check asks once, over a connection of its own, for 3 s at most. What is not well is the status, and which of its checks fail.
func (p HTTPAnswers) Check(ctx context.Context, env *Env) (string, error) {
	t := &http.Transport{DisableKeepAlives: true}
	if p.CA != "" {
		var err error
		if t.TLSClientConfig, err = p.tls(env); errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("%s cannot be asked yet: %v", p.Name, err), nil
		} else if err != nil {
			return "", fmt.Errorf("%s cannot be asked: %w", p.Name, err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, httpTime)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodGet, p.URL, nil)
	if err != nil {
		return "", fmt.Errorf("%s cannot be asked: %w", p.Name, err)
	}
	answer, err := t.RoundTrip(r)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return fmt.Sprintf("%s does not answer within %v", p.Name, httpTime), nil
	case err != nil:
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Sprintf("%s: %v", p.Name, err), nil
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return "", nil
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxSaid)) // the status has to do without
	return p.Name + ": " + kube.Unwell(answer.Status, said), nil
}

// tls is how the connection is made sure of.
func (p HTTPAnswers) tls(env *Env) (*tls.Config, error) {
	ca, err := readFile(env, p.CA, maxPEM)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: p.ServerName, MinVersion: tls.VersionTLS12}
	if !c.RootCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", p.CA)
	}
	if p.Certificate == "" {
		return c, nil
	}
	certificate, err := readFile(env, p.Certificate+".crt", maxPEM)
	if err != nil {
		return nil, err
	}
	key, err := readFile(env, p.Certificate+".key", maxPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s.crt and .key: %w", p.Certificate, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

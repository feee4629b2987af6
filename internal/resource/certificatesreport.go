package resource

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// CertificatesReport looks at the certificates that lie on the machine, those of authorities among them. It finds a list of CertificateFound.
type CertificatesReport struct{}

// CertificateFound is one that lies on a machine.
type CertificateFound struct {
	// Path of the file that it is in.
	Path string `json:"path"`
	// Name is its common name.
	Name string `json:"name,omitempty"`
	// Authority says that it is that of one.
	Authority bool `json:"authority,omitempty"`
	// From and Until it is valid.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Problem is why it cannot be read; then nothing else is known.
	Problem string `json:"problem,omitempty"`
}

// ID is the same everywhere.
func (r CertificatesReport) ID() ID { return ID{"certificates", "machine"} }

// Look reads them: /etc/kubernetes/pki and what is below, the kubeconfigs beside, and what the kubelet has. Of a kubelet it is the pair in use that counts, not those before.
func (r CertificatesReport) Look(ctx context.Context, env *Env) (any, error) {
	found := []CertificateFound{}
	add := func(file string, certificates func(text []byte) ([]byte, error)) error {
		text, err := readFile(env, file, maxPEM)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			text, err = certificates(text)
		}
		c := CertificateFound{Path: file}
		switch {
		case err != nil:
			c.Problem = err.Error()
		case text == nil:
			return nil
		default:
			c = readCertificate(file, text)
		}
		found = append(found, c)
		return ctx.Err()
	}
	same := func(text []byte) ([]byte, error) { return text, nil }
	inside := func(text []byte) ([]byte, error) {
		k, err := readKubeconfig(text)
		if err != nil || len(k.user.ClientCertificateData) == 0 {
			return nil, err // it leads to a file, or has a token
		}
		return k.user.ClientCertificateData, nil
	}
	for _, place := range []struct {
		dir, ending string
		read        func([]byte) ([]byte, error)
	}{{PKIDir, ".crt", same}, {PKIDir + "/etcd", ".crt", same}, {path.Dir(PKIDir), ".conf", inside}} {
		names, err := env.Files.List(place.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing %s: %w", place.dir, err)
		}
		for _, name := range names {
			if path.Ext(name) != place.ending {
				continue
			}
			if err := add(path.Join(place.dir, name), place.read); err != nil {
				return nil, err
			}
		}
	}
	for _, file := range []string{currentPair, kubeletPKIDir + "/kubelet-server-current.pem"} {
		if err := add(file, same); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// readCertificate reads the first certificate of a text, which may hold a key, too.
func readCertificate(file string, text []byte) CertificateFound {
	for rest := bytes.TrimSpace(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return CertificateFound{Path: file, Problem: "it holds no certificate"}
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return CertificateFound{Path: file, Problem: "its certificate cannot be read: " + strings.TrimPrefix(err.Error(), "x509: ")}
		}
		return CertificateFound{Path: file, Name: c.Subject.CommonName, Authority: c.IsCA, From: c.NotBefore.UTC(), Until: c.NotAfter.UTC()}
	}
}

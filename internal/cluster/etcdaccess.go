package cluster

import (
	"crypto/tls"
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// EtcdAccess is how control planes come to an etcd of the user's, all of it in PEM form.
type EtcdAccess struct {
	// Authority are the certificates that those of its servers are of.
	Authority []byte
	// Certificate is what API servers show to it, and Key is that one's; a secret.
	Certificate, Key []byte
}

// readEtcdAccess reads the files of it, and sees that they fit together.
func readEtcdAccess(dir string, e v1alpha1.ExternalEtcd) (EtcdAccess, error) {
	var a EtcdAccess
	var err error
	if a.Authority, err = readCertificates(dir, e.CA); err != nil {
		return EtcdAccess{}, fmt.Errorf("etcd.external.ca: %w", err)
	}
	if a.Certificate, err = readCertificates(dir, e.Certificate); err != nil {
		return EtcdAccess{}, fmt.Errorf("etcd.external.certificate: %w", err)
	}
	if a.Key, err = readFile(dir, e.Key); err != nil {
		return EtcdAccess{}, fmt.Errorf("etcd.external.key: %w", err)
	}
	if _, err := tls.X509KeyPair(a.Certificate, a.Key); err != nil {
		return EtcdAccess{}, fmt.Errorf("etcd.external: %s and %s are no pair: %w", e.Certificate, e.Key, err)
	}
	return a, nil
}

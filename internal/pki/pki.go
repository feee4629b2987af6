// Package pki makes keys, authorities and certificates, and reads them. It is pure but for randomness and the clock that it is given: it knows nothing of machines,
// files or who may have what.
package pki

import (
	"net/netip"
	"time"
)

// Algorithm of a key, as kubeadm names it (encryptionAlgorithm of kubeadm.k8s.io/v1beta4).
type Algorithm string

// The algorithms.
const (
	ECDSAP256 Algorithm = "ECDSA-P256"
	ECDSAP384 Algorithm = "ECDSA-P384"
	RSA2048   Algorithm = "RSA-2048"
	RSA3072   Algorithm = "RSA-3072"
	RSA4096   Algorithm = "RSA-4096"
)

// Names of authorities, which are those of their files below /etc/kubernetes/pki, as kubeadm has them.
const (
	Kubernetes = "ca"
	Etcd       = "etcd/ca"
	FrontProxy = "front-proxy-ca"
)

// Authorities are the names of all authorities that a cluster has.
func Authorities() []string { return []string{Kubernetes, Etcd, FrontProxy} }

// Request is what a certificate shall say.
type Request struct {
	// Authority is the name of the one that signs.
	Authority string `json:"authority"`
	// CommonName and Organizations are user and groups for Kubernetes.
	CommonName    string   `json:"commonName"`
	Organizations []string `json:"organizations,omitempty"`
	// DNSNames and Addresses are those that a server is reached by.
	DNSNames  []string     `json:"dnsNames,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Server and Client are what it may be used for.
	Server bool `json:"server,omitempty"`
	Client bool `json:"client,omitempty"`
	// Algorithm of the key.
	Algorithm Algorithm `json:"algorithm"`
	// Validity from now on.
	Validity time.Duration `json:"validity"`
}

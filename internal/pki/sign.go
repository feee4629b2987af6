package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// NewRequest asks for a certificate for a key (PKCS #10, PEM). It says nothing but the public key, and proves that who asks has the private one.
func NewRequest(key []byte) ([]byte, error) { return newRequest(key, pkix.Name{}) }

// NewUserRequest asks for a certificate by which Kubernetes knows a user and his groups, of who signs what requests say, as its own API does.
func NewUserRequest(key []byte, user string, groups []string) ([]byte, error) {
	return newRequest(key, pkix.Name{CommonName: user, Organization: groups})
}

func newRequest(key []byte, subject pkix.Name) ([]byte, error) {
	k, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, k)
	if err != nil {
		return nil, fmt.Errorf("making a request for a certificate: %w", err)
	}
	return encode(requestBlock, der), nil
}

// Sign makes the certificate of a request (PEM). What it says is r's alone; of the request it takes the public key, once that is proved to be the asker's.
func Sign(authority KeyPair, r Request, request []byte, now time.Time) ([]byte, error) {
	ca, key, err := authority.parse()
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", r.CommonName, err)
	}
	switch {
	case r.CommonName == "":
		return nil, errors.New("a certificate needs a common name")
	case !r.Server && !r.Client:
		return nil, fmt.Errorf("the certificate of %s would be neither for a server nor for a client", r.CommonName)
	case r.Validity <= 0:
		return nil, fmt.Errorf("the certificate of %s would not be valid for any time", r.CommonName)
	case now.After(ca.NotAfter):
		return nil, fmt.Errorf("the certificate of %s cannot be signed: the authority %s ran out on %s", r.CommonName, ca.Subject.CommonName, day(ca.NotAfter))
	}
	block, _ := pem.Decode(request)
	if block == nil || block.Type != requestBlock {
		return nil, fmt.Errorf("the request for the certificate of %s is none in PEM form", r.CommonName)
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the request for the certificate of %s cannot be read: %w", r.CommonName, err)
	}
	if err := asked.CheckSignature(); err != nil {
		return nil, fmt.Errorf("who asks for the certificate of %s did not prove to have its key: %w", r.CommonName, err)
	}
	if got := algorithmOf(asked.PublicKey); got != r.Algorithm {
		return nil, fmt.Errorf("the key for the certificate of %s is of %s, not of %s", r.CommonName, orUnknown(got), r.Algorithm)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: r.CommonName, Organization: r.Organizations},
		DNSNames:              r.dnsNames(),
		IPAddresses:           addresses(r.addresses()),
		NotBefore:             now.Add(-early).UTC(),
		NotAfter:              now.Add(r.Validity).UTC(),
		KeyUsage:              leafUsage,
		ExtKeyUsage:           r.usages(),
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(ca.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, asked.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", r.CommonName, err)
	}
	return encode(certificateBlock, der), nil
}

func orUnknown(a Algorithm) string {
	if a == "" {
		return "an algorithm that is not allowed"
	}
	return string(a)
}

// dnsNames are sorted, each once, as kubeadm has them.
func (r Request) dnsNames() []string {
	return slices.Compact(slices.Sorted(slices.Values(r.DNSNames)))
}

// addresses are in the order of the request, each once.
func (r Request) addresses() []netip.Addr {
	var list []netip.Addr
	for _, a := range r.Addresses {
		if a = a.Unmap().WithZone(""); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

func addresses(list []netip.Addr) []net.IP {
	var ips []net.IP
	for _, a := range list {
		ips = append(ips, a.AsSlice())
	}
	return ips
}

func (r Request) usages() []x509.ExtKeyUsage {
	var list []x509.ExtKeyUsage
	if r.Server {
		list = append(list, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		list = append(list, x509.ExtKeyUsageClientAuth)
	}
	return list
}

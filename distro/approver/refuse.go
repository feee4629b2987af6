package main

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const (
	nodePrefix = "system:node:"
	nodesGroup = "system:nodes"
)

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// refuse says why a request for a certificate must not be approved without a person having looked at it; nil if nothing speaks against it. The
// rules are those of the signer kubernetes.io/kubelet-serving (ValidateKubeletServingCSR in pkg/apis/certificates/helpers.go of Kubernetes
// v1.37.1), and stricter: the node asks for itself, the inventory knows it, and every name and address is one that the inventory gives it.
// The API server vouches for username and groups; all else is the requester's word.
func refuse(spec certificatesv1.CertificateSigningRequestSpec, inv inventory) error {
	if spec.SignerName != certificatesv1.KubeletServingSignerName {
		return fmt.Errorf("the signer is %.100q, not %s", spec.SignerName, certificatesv1.KubeletServingSignerName)
	}
	name, ok := strings.CutPrefix(spec.Username, nodePrefix)
	if !ok || name == "" || !slices.Contains(spec.Groups, nodesGroup) {
		return fmt.Errorf("the requester %.100q is not a node", spec.Username)
	}
	n, ok := inv[name]
	if !ok {
		return fmt.Errorf("the inventory has no node %.100q", name)
	}
	if !servingUsages(spec.Usages) {
		return fmt.Errorf("the usages %.200q are not those of a kubelet's serving certificate", fmt.Sprint(spec.Usages))
	}
	csr, err := parseRequest(spec.Request)
	if err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	// Nothing else may be in the subject: names that are there twice read differently for different readers.
	if csr.Subject.CommonName != spec.Username || !slices.Equal(csr.Subject.Organization, []string{nodesGroup}) || len(csr.Subject.Names) != 2 {
		return fmt.Errorf("the subject is %.200q, not that of the requester", csr.Subject.String())
	}
	return n.refuse(csr)
}

// refuse says what of the names and addresses in a request is not the node's.
func (n node) refuse(csr *x509.CertificateRequest) error {
	if len(csr.Extensions) != 1 || !csr.Extensions[0].Id.Equal(subjectAltName) {
		return errors.New("the request must ask for names and addresses, and for no other extension")
	}
	names, err := countNames(csr.Extensions[0].Value)
	if err != nil {
		return fmt.Errorf("its names cannot be read: %w", err)
	}
	if names == 0 || names != len(csr.DNSNames)+len(csr.IPAddresses) {
		return errors.New("the request must ask for DNS names and IP addresses, and for nothing else")
	}
	for _, d := range csr.DNSNames {
		if !n.dnsNames[d] {
			return fmt.Errorf("the DNS name %.100q is not one of the node in the inventory", d)
		}
	}
	for _, ip := range csr.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); !ok || !n.addresses[a] {
			return fmt.Errorf("the address %s is not one of the node in the inventory", ip)
		}
	}
	return nil
}

// servingUsages says whether usages are exactly those of a kubelet's serving certificate; keys other than RSA do not encipher.
func servingUsages(usages []certificatesv1.KeyUsage) bool {
	sorted := slices.Sorted(slices.Values(usages))
	return slices.Equal(sorted, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}) ||
		slices.Equal(sorted, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageServerAuth})
}

// parseRequest reads the one request that is there, signed by the key that it is for.
func parseRequest(b []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(block.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("want one PEM block CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return csr, csr.CheckSignature()
}

// countNames counts all names in an extension, also of the kinds that crypto/x509 skips.
func countNames(extension []byte) (int, error) {
	var names []asn1.RawValue
	rest, err := asn1.Unmarshal(extension, &names)
	if err == nil && len(rest) > 0 {
		err = errors.New("something follows them")
	}
	return len(names), err
}

package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// fingerprintLength is how many bytes of a fingerprint people are shown: enough to tell a few authorities apart.
const fingerprintLength = 8

// Fingerprint is how people tell certificates apart: the first bytes of what "openssl x509 -noout -fingerprint -sha256" shows; "unreadable" if there is none.
func Fingerprint(certificate []byte) string {
	all, err := certificates(certificate)
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(all[0].Raw)
	var parts []string
	for _, b := range sum[:fingerprintLength] {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}

// Pins are the hashes of the public keys of certificates, by which kubeadm knows an authority again (--discovery-token-ca-cert-hash; Hash of cmd/kubeadm/app/util/pubkeypin of
// Kubernetes v1.37): "sha256:…", of each certificate in its order.
func Pins(text []byte) ([]string, error) {
	all, err := certificates(text)
	if err != nil {
		return nil, err
	}
	var pins []string
	for _, c := range all {
		pins = append(pins, fmt.Sprintf("sha256:%x", sha256.Sum256(c.RawSubjectPublicKeyInfo)))
	}
	return pins, nil
}

// Same says whether two texts hold the same certificates, however they are written.
func Same(a, b []byte) bool {
	one, err := certificates(a)
	if err != nil {
		return false
	}
	other, err := certificates(b)
	return err == nil && slices.EqualFunc(one, other, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
}

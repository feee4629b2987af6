package staticpodtest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/pki"
)

// LikeKubeadmsCertificate fails for each difference between what a certificate of kubeadm's in a file says and what Kubewright asks for that has no reason, as LikeKubeadm does.
func LikeKubeadmsCertificate(t *testing.T, file string, ours pki.Request, reasons map[string]string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s holds no certificate in PEM form", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	issuers := map[string]string{"kubernetes": pki.Kubernetes, "etcd-ca": pki.Etcd, "front-proxy-ca": pki.FrontProxy}
	kubeadms := map[string]string{
		"authority": issuers[c.Issuer.CommonName], "name": c.Subject.CommonName, "groups": fmt.Sprintf("%q", sorted(c.Subject.Organization)),
		"DNS names": fmt.Sprintf("%q", sorted(c.DNSNames)),
		"server":    fmt.Sprint(slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)),
		"client":    fmt.Sprint(slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth)),
		"algorithm": c.PublicKeyAlgorithm.String(),
		"validity":  c.NotAfter.Sub(c.NotBefore).Truncate(24 * time.Hour).String(), // kubeadm begins it a little in the past
	}
	var addresses []string
	for _, a := range c.IPAddresses {
		addresses = append(addresses, a.String())
	}
	kubeadms["addresses"] = fmt.Sprintf("%q", sorted(addresses))
	addresses = nil
	for _, a := range ours.Addresses {
		addresses = append(addresses, a.String())
	}
	Differences(t, kubeadms, map[string]string{
		"authority": ours.Authority, "name": ours.CommonName, "groups": fmt.Sprintf("%q", sorted(ours.Organizations)),
		"DNS names": fmt.Sprintf("%q", sorted(ours.DNSNames)), "addresses": fmt.Sprintf("%q", sorted(addresses)),
		"server": fmt.Sprint(ours.Server), "client": fmt.Sprint(ours.Client),
		"algorithm": map[pki.Algorithm]string{pki.ECDSAP256: x509.ECDSA.String()}[ours.Algorithm],
		"validity":  ours.Validity.String(),
	}, reasons)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const nodes = `{"nodes": [
  {"name": "w1", "addresses": ["10.0.1.1", "fd00::1"], "dnsNames": ["w1", "w1.example.com"]},
  {"name": "w2", "addresses": ["10.0.1.2"], "dnsNames": ["w2"]},
  {"name": "w3", "roles": ["worker"]}
]}`

// wanted is what a request asks for; a test changes one thing of it.
type wanted struct {
	template x509.CertificateRequest
	spec     certificatesv1.CertificateSigningRequestSpec
	der      func([]byte) []byte // what becomes of the request
	pem      func([]byte) []byte // and of the PEM
}

// askedBy is what a kubelet asks for (pkg/kubelet/certificate/kubelet.go of Kubernetes v1.37.1).
func askedBy(node string, ip string) *wanted {
	return &wanted{
		template: x509.CertificateRequest{
			Subject:  pkix.Name{CommonName: nodePrefix + node, Organization: []string{nodesGroup}},
			DNSNames: []string{node}, IPAddresses: []net.IP{net.ParseIP(ip)},
		},
		spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeletServingSignerName, Username: nodePrefix + node, Groups: []string{nodesGroup, "system:authenticated"},
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		},
		der: func(b []byte) []byte { return b }, pem: func(b []byte) []byte { return b },
	}
}

func (w *wanted) make(t *testing.T) certificatesv1.CertificateSigningRequestSpec {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &w.template, key)
	if err != nil {
		t.Fatal(err)
	}
	spec := w.spec
	spec.Request = w.pem(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: w.der(der)}))
	return spec
}

func TestRefuse(t *testing.T) {
	inv, err := parseInventory(nodes)
	if err != nil {
		t.Fatal(err)
	}
	san := func(names ...asn1.RawValue) pkix.Extension {
		b, err := asn1.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: subjectAltName, Value: b}
	}
	text := func(tag int, s string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(s)}
	}
	for _, c := range []struct {
		name   string
		change func(*wanted)
		says   string // empty: approved
	}{
		{"a kubelet", func(*wanted) {}, ""},
		{"a kubelet with an RSA key", func(w *wanted) { w.spec.Usages = append(w.spec.Usages, certificatesv1.UsageKeyEncipherment) }, ""},
		{"both families and names", func(w *wanted) {
			w.template.DNSNames = []string{"w1.example.com", "w1"}
			w.template.IPAddresses = append(w.template.IPAddresses, net.ParseIP("fd00::1"))
		}, ""},
		{"addresses alone", func(w *wanted) { w.template.DNSNames = nil }, ""},
		{"names alone", func(w *wanted) { w.template.IPAddresses = nil }, ""},

		{"another signer", func(w *wanted) { w.spec.SignerName = certificatesv1.KubeAPIServerClientSignerName }, "the signer is"},
		{"no node", func(w *wanted) { w.spec.Username = "system:serviceaccount:default:w1" }, "is not a node"},
		{"a node without a name", func(w *wanted) { w.spec.Username = nodePrefix }, "is not a node"},
		{"a bootstrapping kubelet", func(w *wanted) {
			w.spec.Username, w.spec.Groups = "system:bootstrap:abcdef", []string{"system:bootstrappers"}
		}, "is not a node"},
		{"a user called like a node", func(w *wanted) { w.spec.Groups = []string{"system:masters"} }, "is not a node"},
		{"an unknown node", func(w *wanted) { w.spec.Username = nodePrefix + "w9" }, `no node "w9"`},
		{"nearly a node", func(w *wanted) { w.spec.Username = nodePrefix + "w1 " }, `no node "w1 "`},
		{"a node by another case", func(w *wanted) { w.spec.Username = nodePrefix + "W1" }, `no node "W1"`},

		{"client, too", func(w *wanted) { w.spec.Usages = append(w.spec.Usages, certificatesv1.UsageClientAuth) }, "the usages"},
		{"client instead", func(w *wanted) { w.spec.Usages[1] = certificatesv1.UsageClientAuth }, "the usages"},
		{"signing", func(w *wanted) { w.spec.Usages = append(w.spec.Usages, certificatesv1.UsageCertSign) }, "the usages"},
		{"no server", func(w *wanted) { w.spec.Usages = w.spec.Usages[:1] }, "the usages"},
		{"no usages", func(w *wanted) { w.spec.Usages = nil }, "the usages"},
		{"one usage twice", func(w *wanted) { w.spec.Usages = append(w.spec.Usages, certificatesv1.UsageServerAuth) }, "the usages"},

		{"another node's name", func(w *wanted) { w.template.Subject.CommonName = nodePrefix + "w2" }, "the subject"},
		{"an administrator", func(w *wanted) { w.template.Subject.Organization = []string{"system:masters"} }, "the subject"},
		{"an administrator besides", func(w *wanted) { w.template.Subject.Organization = []string{nodesGroup, "system:masters"} }, "the subject"},
		{"no organisation", func(w *wanted) { w.template.Subject.Organization = nil }, "the subject"},
		{"two common names", func(w *wanted) {
			w.template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "kubernetes-admin"},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: nodePrefix + "w1"}}
		}, "the subject"},
		{"a unit", func(w *wanted) { w.template.Subject.OrganizationalUnit = []string{"system:masters"} }, "the subject"},

		{"another node's address", func(w *wanted) { w.template.IPAddresses = []net.IP{net.ParseIP("10.0.1.2")} }, "the address 10.0.1.2"},
		{"an address besides", func(w *wanted) { w.template.IPAddresses = append(w.template.IPAddresses, net.ParseIP("10.96.0.1")) }, "the address 10.96.0.1"},
		{"another node's DNS name", func(w *wanted) { w.template.DNSNames = []string{"w2"} }, `the DNS name "w2"`},
		{"a DNS name besides", func(w *wanted) { w.template.DNSNames = append(w.template.DNSNames, "kubernetes.default.svc") }, `the DNS name "kubernetes.default.svc"`},
		{"any DNS name", func(w *wanted) { w.template.DNSNames = []string{"*"} }, `the DNS name "*"`},
		{"a wildcard", func(w *wanted) { w.template.DNSNames = []string{"*.example.com"} }, "the DNS name"},
		{"a DNS name by another case", func(w *wanted) { w.template.DNSNames = []string{"W1"} }, "the DNS name"},
		{"an address as DNS name", func(w *wanted) { w.template.DNSNames = []string{"10.0.1.1"} }, "the DNS name"},
		{"a DNS name of two lines", func(w *wanted) { w.template.DNSNames = []string{"w1\nw1"} }, "the DNS name \"w1\\nw1\""},
		{"an address in IPv6's form of IPv4", func(w *wanted) {
			w.template.ExtraExtensions = []pkix.Extension{san(text(7, string(net.ParseIP("10.0.1.1").To16())))}
		}, "the address 10.0.1.1"},
		{"no names", func(w *wanted) { w.template.DNSNames, w.template.IPAddresses = nil, nil }, "must ask for names"},
		{"an empty list of names", func(w *wanted) { w.template.ExtraExtensions = []pkix.Extension{san()} }, "for nothing else"},
		{"a mail address", func(w *wanted) { w.template.EmailAddresses = []string{"root@w1"} }, "for nothing else"},
		{"a URI", func(w *wanted) { w.template.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster", Path: "/admin"}} }, "for nothing else"},
		{"a name of a kind that Go skips", func(w *wanted) {
			w.template.ExtraExtensions = []pkix.Extension{san(text(2, "w1"), text(8, "\x2a\x03"))}
		}, "for nothing else"},
		{"an authority", func(w *wanted) {
			w.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}}
		}, "no other extension"},

		{"nothing", func(w *wanted) { w.pem = func([]byte) []byte { return nil } }, "want one PEM block"},
		{"no PEM", func(w *wanted) { w.pem = func([]byte) []byte { return []byte("w1") } }, "want one PEM block"},
		{"two requests", func(w *wanted) { w.pem = func(b []byte) []byte { return append(b, b...) } }, "want one PEM block"},
		{"a certificate", func(w *wanted) {
			w.pem = func(b []byte) []byte {
				return []byte(strings.ReplaceAll(string(b), "CERTIFICATE REQUEST", "CERTIFICATE"))
			}
		}, "want one PEM block"},
		{"cut off", func(w *wanted) { w.der = func(b []byte) []byte { return b[:len(b)-9] } }, "cannot be read"},
		{"followed by more", func(w *wanted) { w.der = func(b []byte) []byte { return append(b, 0) } }, "cannot be read"},
		{"not signed by its key", func(w *wanted) { w.der = func(b []byte) []byte { b[len(b)-1] ^= 1; return b } }, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := askedBy("w1", "10.0.1.1")
			c.change(w)
			err := refuse(w.make(t), inv)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("refused: %v; want: %q", err, c.says)
			}
		})
	}
	// A node of which no names are known gets nothing; without an inventory, nobody does.
	w := askedBy("w3", "10.0.1.3")
	if err := refuse(w.make(t), inv); err == nil {
		t.Error("a node without names was approved")
	}
	w = askedBy("w1", "10.0.1.1")
	if err := refuse(w.make(t), nil); err == nil {
		t.Error("approved without an inventory")
	}
}

// However much a request says, what is said of it stays short.
func TestRefusalsAreShort(t *testing.T) {
	inv, err := parseInventory(nodes)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1<<16)
	for name, change := range map[string]func(*wanted){
		"user":    func(w *wanted) { w.spec.Username = nodePrefix + long },
		"subject": func(w *wanted) { w.template.Subject.CommonName = long },
		"DNS":     func(w *wanted) { w.template.DNSNames = []string{long} },
		"usage":   func(w *wanted) { w.spec.Usages = []certificatesv1.KeyUsage{certificatesv1.KeyUsage(long)} },
	} {
		w := askedBy("w1", "10.0.1.1")
		change(w)
		if err := refuse(w.make(t), inv); err == nil || len(err.Error()) > 400 {
			t.Errorf("%s: refused: %.500v", name, err)
		}
	}
}

func TestBadInventory(t *testing.T) {
	for text, says := range map[string]string{
		``:                "unexpected end",
		`{"nodes": {}}`:   "cannot unmarshal",
		`{"nodes": [{}]}`: "no name",
		`{"nodes": [{"name": "a"}, {"name": "a"}]}`:             `two nodes "a"`,
		`{"nodes": [{"name": "a", "addresses": ["w1"]}]}`:       `node "a"`,
		`{"nodes": [{"name": "a", "addresses": ["10.0.0/8"]}]}`: `node "a"`,
	} {
		if inv, err := parseInventory(text); err == nil || inv != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v", text, inv, err)
		}
	}
}

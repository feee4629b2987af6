package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

func authority(t testing.TB, name string, validity time.Duration, at time.Time) KeyPair {
	t.Helper()
	ca, err := NewAuthority(name, ECDSAP256, validity, at)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newKey(t testing.TB, a Algorithm) []byte {
	t.Helper()
	key, err := NewKey(a)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, key []byte) []byte {
	t.Helper()
	csr, err := NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func signed(t testing.TB, ca KeyPair, r Request, key []byte, at time.Time) []byte {
	t.Helper()
	c, err := Sign(ca, r, request(t, key), at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parsed(t testing.TB, text []byte) *x509.Certificate {
	t.Helper()
	all, err := certificates(text)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func apiServer() Request {
	return Request{
		Authority: Kubernetes, CommonName: "kube-apiserver", Server: true, Algorithm: ECDSAP256, Validity: year,
		DNSNames:  []string{"kubernetes", "cp1", "api.prod.internal", "cp1"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("::ffff:10.96.0.1"), netip.MustParseAddr("fd00::1")},
	}
}

// TestAuthority compares with what kubeadm v1.37.1 makes.
func TestAuthority(t *testing.T) {
	ca := authority(t, "etcd-ca", 10*year, now)
	c := parsed(t, ca.Certificate)
	switch {
	case c.Subject.String() != "CN=etcd-ca", !slices.Equal(c.DNSNames, []string{"etcd-ca"}):
		t.Errorf("it is called %s, %q", c.Subject, c.DNSNames)
	case !c.IsCA, !c.BasicConstraintsValid, c.KeyUsage != x509.KeyUsageKeyEncipherment|x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign, len(c.ExtKeyUsage) > 0:
		t.Errorf("it is for %v %v", c.KeyUsage, c.ExtKeyUsage)
	case !c.NotBefore.Equal(now.Add(-early)), !c.NotAfter.Equal(now.Add(10 * year)):
		t.Errorf("it is valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	if block, _ := pem.Decode(ca.Key); block.Type != "EC PRIVATE KEY" {
		t.Errorf("its key is a %s", block.Type)
	}
	other := authority(t, "etcd-ca", year, now)
	leafKey := newKey(t, ECDSAP256)
	leaf := signed(t, ca, apiServer(), leafKey, now)
	for name, c := range map[string]struct {
		certificate, key []byte
		want             string
	}{
		"right":              {ca.Certificate, ca.Key, ""},
		"key of another":     {ca.Certificate, other.Key, "does not belong"},
		"none":               {leaf, leafKey, "not that of an authority"},
		"no certificate":     {nil, ca.Key, "no certificate"},
		"no key":             {ca.Certificate, nil, "no private key"},
		"half a key":         {ca.Certificate, encode(ecKeyBlock, []byte("x")), "damaged"},
		"half a certificate": {encode(certificateBlock, []byte("x")), ca.Key, "cannot be read"},
	} {
		_, err := ParseAuthority(c.certificate, c.key)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if !Same(ca.Certificate, append([]byte("a comment\n"), ca.Certificate...)) || Same(ca.Certificate, other.Certificate) || Same(nil, nil) {
		t.Error("certificates are told apart by something else than themselves")
	}
	if f := Fingerprint(ca.Certificate); len(f) != 23 || f == Fingerprint(other.Certificate) || Fingerprint(nil) != "unreadable" {
		t.Errorf("its fingerprint is %s", f)
	}
}

// What kubeadm's own test has (cmd/kubeadm/app/util/pubkeypin of Kubernetes v1.37), and two certificates in one text.
func TestPins(t *testing.T) {
	const certificate, want = `-----BEGIN CERTIFICATE-----
MIIDRDCCAiygAwIBAgIJAJgVaCXvC6HkMA0GCSqGSIb3DQEBBQUAMB8xHTAbBgNV
BAMTFGt1YmVhZG0ta2V5cGlucy10ZXN0MCAXDTE3MDcwNTE3NDMxMFoYDzIxMTcw
NjExMTc0MzEwWjAfMR0wGwYDVQQDExRrdWJlYWRtLWtleXBpbnMtdGVzdDCCASIw
DQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAK0ba8mHU9UtYlzM1Own2Fk/XGjR
J4uJQvSeGLtz1hID1IA0dLwruvgLCPadXEOw/f/IWIWcmT+ZmvIHZKa/woq2iHi5
+HLhXs7aG4tjKGLYhag1hLjBI7icqV7ovkjdGAt9pWkxEzhIYClFMXDjKpMSynu+
YX6nZ9tic1cOkHmx2yiZdMkuriRQnpTOa7bb03OC1VfGl7gHlOAIYaj4539WCOr8
+ACTUMJUFEHcRZ2o8a/v6F9GMK+7SC8SJUI+GuroXqlMAdhEv4lX5Co52enYaClN
+D9FJLRpBv2YfiCQdJRaiTvCBSxEFz6BN+PtP5l2Hs703ZWEkOqCByM6HV8CAwEA
AaOBgDB+MB0GA1UdDgQWBBRQgUX8MhK2rWBWQiPHWcKzoWDH5DBPBgNVHSMESDBG
gBRQgUX8MhK2rWBWQiPHWcKzoWDH5KEjpCEwHzEdMBsGA1UEAxMUa3ViZWFkbS1r
ZXlwaW5zLXRlc3SCCQCYFWgl7wuh5DAMBgNVHRMEBTADAQH/MA0GCSqGSIb3DQEB
BQUAA4IBAQCaAUif7Pfx3X0F08cxhx8/Hdx4jcJw6MCq6iq6rsXM32ge43t8OHKC
pJW08dk58a3O1YQSMMvD6GJDAiAfXzfwcwY6j258b1ZlI9Ag0VokvhMl/XfdCsdh
AWImnL1t4hvU5jLaImUUMlYxMcSfHBGAm7WJIZ2LdEfg6YWfZh+WGbg1W7uxLxk6
y4h5rWdNnzBHWAGf7zJ0oEDV6W6RSwNXtC0JNnLaeIUm/6xdSddJlQPwUv8YH4jX
c1vuFqTnJBPcb7W//R/GI2Paicm1cmns9NLnPR35exHxFTy+D1yxmGokpoPMdife
aH+sfuxT8xeTPb3kjzF9eJTlnEquUDLM
-----END CERTIFICATE-----
`, "sha256:345959acb2c3b2feb87d281961c893f62a314207ef02599f1cc4a5fb255480b3"
	other := authority(t, "kubernetes", 10*year, now).Certificate
	if got, err := Pins([]byte(certificate + string(other))); err != nil || len(got) != 2 || got[0] != want || got[1] == want {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Pins(nil); err == nil {
		t.Errorf("of nothing: %q", got)
	}
}

func TestSign(t *testing.T) {
	ca := authority(t, "kubernetes", 10*year, now)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Certificate)
	for _, a := range []Algorithm{ECDSAP256, ECDSAP384, RSA2048} {
		key := newKey(t, a)
		r := apiServer()
		r.Algorithm, r.Organizations, r.Client = a, []string{"g"}, true
		text := signed(t, ca, r, key, now)
		c := parsed(t, text)
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.Add(-time.Minute), DNSName: "api.prod.internal"}); err != nil {
			t.Error(err)
		}
		switch {
		case c.Subject.String() != "CN=kube-apiserver,O=g":
			t.Errorf("it is for %s", c.Subject)
		case !slices.Equal(c.DNSNames, []string{"api.prod.internal", "cp1", "kubernetes"}):
			t.Errorf("its names are %q", c.DNSNames)
		case len(c.IPAddresses) != 2, !c.IPAddresses[0].Equal(net.ParseIP("10.96.0.1")), !c.IPAddresses[1].Equal(net.ParseIP("fd00::1")):
			t.Errorf("its addresses are %v", c.IPAddresses)
		case c.KeyUsage != x509.KeyUsageKeyEncipherment|x509.KeyUsageDigitalSignature,
			!slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}), c.IsCA:
			t.Errorf("it is for %v %v", c.KeyUsage, c.ExtKeyUsage)
		case !c.NotBefore.Equal(now.Add(-early)), !c.NotAfter.Equal(now.Add(year)):
			t.Errorf("it is valid from %v to %v", c.NotBefore, c.NotAfter)
		case c.SerialNumber.BitLen() < 64, c.SerialNumber.BitLen() > 128:
			t.Errorf("its number is %v", c.SerialNumber)
		}
		if why := Problem(text, key, ca.Certificate, r, now); why != "" {
			t.Errorf("what was signed is not what was asked for: %s", why)
		}
		public, err := PublicKeyOf(key)
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(public); block.Type != "PUBLIC KEY" {
			t.Errorf("the public key is a %s", block.Type)
		}
	}
	long := apiServer()
	long.Validity = 20 * year
	if c := parsed(t, signed(t, ca, long, newKey(t, ECDSAP256), now)); !c.NotAfter.Equal(now.Add(10 * year)) {
		t.Errorf("it outlives its authority: %v", c.NotAfter)
	}
}

// TestSignTakesTheKeyAlone has the request ask for more than it shall have.
func TestSignTakesTheKeyAlone(t *testing.T) {
	ca := authority(t, "kubernetes", 10*year, now)
	key, err := parseKey(newKey(t, ECDSAP256))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
		DNSNames:        []string{"evil"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}, // an authority
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Sign(ca, apiServer(), encode(requestBlock, der), now)
	if err != nil {
		t.Fatal(err)
	}
	if c := parsed(t, text); c.Subject.String() != "CN=kube-apiserver" || slices.Contains(c.DNSNames, "evil") || c.IsCA {
		t.Errorf("it says %s %q, authority: %v", c.Subject, c.DNSNames, c.IsCA)
	}
}

func TestSignRefuses(t *testing.T) {
	ca := authority(t, "kubernetes", year, now)
	good := request(t, newKey(t, ECDSAP256))
	block, _ := pem.Decode(good)
	forged := slices.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	with := func(change func(*Request)) Request {
		r := apiServer()
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		r       Request
		request []byte
		at      time.Time
		want    string
	}{
		"a forged signature": {apiServer(), encode(requestBlock, forged), now, "did not prove"},
		"another algorithm":  {apiServer(), request(t, newKey(t, ECDSAP384)), now, "is of ECDSA-P384, not of ECDSA-P256"},
		"no request":         {apiServer(), []byte("x"), now, "none in PEM form"},
		"a certificate":      {apiServer(), ca.Certificate, now, "none in PEM form"},
		"a damaged one":      {apiServer(), encode(requestBlock, block.Bytes[:20]), now, "cannot be read"},
		"no name":            {with(func(r *Request) { r.CommonName = "" }), good, now, "needs a common name"},
		"no use":             {with(func(r *Request) { r.Server = false }), good, now, "neither"},
		"no time":            {with(func(r *Request) { r.Validity = 0 }), good, now, "not be valid"},
		"too late":           {apiServer(), good, now.Add(2 * year), "ran out on 2027-03-01"},
	} {
		if _, err := Sign(ca, c.r, c.request, c.at); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Sign(KeyPair{ca.Certificate, newKey(t, ECDSAP256)}, apiServer(), good, now); err == nil {
		t.Error("an authority signs with a key that is not its")
	}
}

func TestProblem(t *testing.T) {
	ca, other := authority(t, "kubernetes", 10*year, now), authority(t, "kubernetes", 10*year, now)
	key, another := newKey(t, ECDSAP256), newKey(t, ECDSAP256)
	wanted := apiServer()
	fine := signed(t, ca, wanted, key, now)
	with := func(change func(*Request)) []byte {
		r := apiServer()
		change(&r)
		return signed(t, ca, r, key, now)
	}
	for name, c := range map[string]struct {
		certificate, key, authority []byte
		at                          time.Time
		want                        string
	}{
		"fine":                   {fine, key, ca.Certificate, now, ""},
		"one of two authorities": {fine, key, slices.Concat(other.Certificate, ca.Certificate), now, ""},
		"two thirds later":       {fine, key, ca.Certificate, now.Add(year*2/3 - time.Hour), ""},
		"near its end":           {fine, key, ca.Certificate, now.Add(year*2/3 + time.Hour), "it runs out on 2027-03-01, and less than a third of its time is left"},
		"past its end":           {fine, key, ca.Certificate, now.Add(2 * year), "it ran out on 2027-03-01"},
		"before its beginning":   {fine, key, ca.Certificate, now.Add(-time.Hour), "it is not valid before 2026-03-01 11:55 UTC; is the machine's clock right?"},
		"another key":            {fine, another, ca.Certificate, now, "its key is another's"},
		"another authority":      {fine, key, other.Certificate, now, "it is of another authority"},
		"no authority":           {fine, key, nil, now, "its authority: there is no certificate in PEM form"},
		"no certificate":         {nil, key, ca.Certificate, now, "there is no certificate in PEM form"},
		"no key":                 {fine, nil, ca.Certificate, now, "there is no private key in PEM form"},
		"another name":           {with(func(r *Request) { r.CommonName = "cp1" }), key, ca.Certificate, now, "it is for cp1, not for kube-apiserver"},
		"a missing name": {with(func(r *Request) { r.DNSNames = []string{"kubernetes", "cp1"} }), key, ca.Certificate, now,
			"it lacks api.prod.internal"},
		"names and addresses": {with(func(r *Request) {
			r.DNSNames = []string{"kubernetes", "cp1", "old.internal"}
			r.Addresses = r.Addresses[:1]
		}), key, ca.Certificate, now, "it lacks api.prod.internal, fd00::1, and it also says old.internal"},
		"groups and use": {with(func(r *Request) { r.Organizations, r.Client, r.Server = []string{"g"}, true, false }), key, ca.Certificate, now,
			"it is also in the group g, and it is not for servers, and it is also for clients"},
		"an authority": {ca.Certificate, ca.Key, ca.Certificate, now, "it is for kubernetes, not for kube-apiserver"},
	} {
		if got := Problem(c.certificate, c.key, c.authority, wanted, c.at); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	algorithm := wanted
	algorithm.Algorithm = ECDSAP384
	if got := Problem(fine, key, ca.Certificate, algorithm, now); got != "" {
		t.Errorf("another algorithm has it renewed: %s", got)
	}
	if got := Problem(ca.Certificate, ca.Key, ca.Certificate, Request{CommonName: "kubernetes"}, now); got != "it is that of an authority" {
		t.Errorf("an authority for a certificate: %q", got)
	}
	if got := Invalid(fine, key, ca.Certificate, wanted.CommonName, now.Add(year*9/10)); got != "" {
		t.Errorf("what is near its end is of no use: %s", got)
	}
}

func TestKeys(t *testing.T) {
	private, public, err := NewServiceAccount(RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(private); block.Type != "RSA PRIVATE KEY" {
		t.Errorf("the private key is a %s", block.Type)
	}
	block, _ := pem.Decode(public)
	if key, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || algorithmOf(key) != RSA2048 {
		t.Errorf("the public key is %T, %v", key, err)
	}
	if again, err := PublicKeyOf(private); err != nil || !bytes.Equal(again, public) {
		t.Errorf("it has another public key: %v", err)
	}
	if _, err := NewKey("DSA"); err == nil || !strings.Contains(err.Error(), `"DSA"`) {
		t.Errorf("a key of no algorithm: %v", err)
	}
	one, other := NewEncryptionKey(), NewEncryptionKey()
	if b, err := base64.StdEncoding.DecodeString(one); err != nil || len(b) != 32 || one == other {
		t.Errorf("an encryption key has %d bytes, %v", len(b), err)
	}
}

// FuzzSign has anybody ask: what is signed says what it shall and nothing else.
func FuzzSign(f *testing.F) {
	ca := authority(f, "kubernetes", year, now)
	block, _ := pem.Decode(request(f, newKey(f, ECDSAP256)))
	f.Add(block.Bytes)
	block, _ = pem.Decode(request(f, newKey(f, ECDSAP384)))
	f.Add(block.Bytes)
	f.Add([]byte{0x30, 0x80})
	r := Request{CommonName: "n", Client: true, Algorithm: ECDSAP256, Validity: year}
	f.Fuzz(func(t *testing.T, der []byte) {
		text, err := Sign(ca, r, encode(requestBlock, der), now)
		if err != nil {
			return
		}
		if c := parsed(t, text); c.Subject.String() != "CN=n" || c.IsCA || len(c.DNSNames)+len(c.IPAddresses)+len(c.URIs)+len(c.EmailAddresses) > 0 || algorithmOf(c.PublicKey) != ECDSAP256 {
			t.Errorf("it says %s %q", c.Subject, c.DNSNames)
		}
	})
}

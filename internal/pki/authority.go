package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// early is how long before it is made a certificate is valid already: clocks of machines are off by seconds. kubeadm takes the time of the authority instead.
const early = 5 * time.Minute

// leafUsage is what keys of certificates are for, as kubeadm has it for both algorithms (NewSignedCert of cmd/kubeadm/app/util/pkiutil, v1.37.1).
const leafUsage = x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature

// KeyPair is an authority: its certificate and its key, both in PEM form.
type KeyPair struct {
	Certificate []byte
	Key         []byte
}

// NewAuthority makes an authority that signs itself. kubeadm calls them "kubernetes", "etcd-ca" and "front-proxy-ca", and has the name among the DNS names, too
// (NewSelfSignedCACert of cmd/kubeadm/app/util/pkiutil, v1.37.1).
func NewAuthority(commonName string, a Algorithm, validity time.Duration, now time.Time) (KeyPair, error) {
	if commonName == "" {
		return KeyPair{}, errors.New("an authority needs a name")
	}
	pair := KeyPair{}
	var err error
	if pair.Key, err = NewKey(a); err != nil {
		return KeyPair{}, fmt.Errorf("making the authority %s: %w", commonName, err)
	}
	key, err := parseKey(pair.Key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("making the authority %s: %w", commonName, err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: commonName},
		DNSNames:              []string{commonName},
		NotBefore:             now.Add(-early).UTC(),
		NotAfter:              now.Add(validity).UTC(),
		KeyUsage:              leafUsage | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("making the authority %s: %w", commonName, err)
	}
	pair.Certificate = encode(certificateBlock, der)
	return pair, nil
}

// ParseAuthority makes sure that a certificate is that of an authority, and that the key is its.
func ParseAuthority(certificate, key []byte) (KeyPair, error) {
	pair := KeyPair{certificate, key}
	_, _, err := pair.parse()
	return pair, err
}

// parse reads it. Of several certificates the first one counts, as for kubeadm.
func (p KeyPair) parse() (*x509.Certificate, crypto.Signer, error) {
	all, err := certificates(p.Certificate)
	if err != nil {
		return nil, nil, err
	}
	c := all[0]
	if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, nil, fmt.Errorf("the certificate of %s is not that of an authority", c.Subject.CommonName)
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("the authority %s: %w", c.Subject.CommonName, err)
	}
	if !samePublic(c.PublicKey, key.Public()) {
		return nil, nil, fmt.Errorf("the key does not belong to the certificate of the authority %s", c.Subject.CommonName)
	}
	return c, key, nil
}

// serial is a random number of 128 bits that is not 0.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[15] |= 1
	return new(big.Int).SetBytes(b)
}

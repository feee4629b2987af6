package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// NewKey makes a private key, in PEM form as kubeadm writes it.
func NewKey(a Algorithm) ([]byte, error) {
	var key any
	var err error
	switch a {
	case ECDSAP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		return nil, fmt.Errorf("there is no algorithm of keys %q; take %s", a, ECDSAP256)
	}
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	if k, ok := key.(*rsa.PrivateKey); ok {
		return encode(rsaKeyBlock, x509.MarshalPKCS1PrivateKey(k)), nil
	}
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return encode(ecKeyBlock, der), nil
}

// NewServiceAccount makes the pair that tokens of service accounts are signed and checked with: sa.key and sa.pub.
func NewServiceAccount(a Algorithm) (private, public []byte, err error) {
	if private, err = NewKey(a); err != nil {
		return nil, nil, err
	}
	if public, err = PublicKeyOf(private); err != nil {
		return nil, nil, err
	}
	return private, public, nil
}

// PublicKeyOf is the public key of a private one, in PEM form (PKIX).
func PublicKeyOf(key []byte) ([]byte, error) {
	k, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return encode(publicKeyBlock, der), nil
}

// parseKey reads the first private key of a text. Its errors say nothing of what is in it.
func parseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case ecKeyBlock:
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case rsaKeyBlock:
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case pkcs8KeyBlock:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, errors.New("the key is damaged")
		}
		switch k := key.(type) {
		case *ecdsa.PrivateKey:
			return k, nil
		case *rsa.PrivateKey:
			return k, nil
		}
		return nil, errors.New("the key is neither for RSA nor for ECDSA")
	}
	return nil, errors.New("there is no private key in PEM form")
}

// algorithmOf is that of a public key; empty if it is none of those that there are.
func algorithmOf(public crypto.PublicKey) Algorithm {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECDSAP256
		case elliptic.P384():
			return ECDSAP384
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return RSA2048
		case 3072:
			return RSA3072
		case 4096:
			return RSA4096
		}
	}
	return ""
}

// samePublic says whether two public keys are the same one.
func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

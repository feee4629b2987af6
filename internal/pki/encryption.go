package pki

import (
	"crypto/rand"
	"encoding/base64"
)

// encryptionKeySize is that of keys for AES-256, and for secretbox, of the API server's encryption at rest, in bytes.
const encryptionKeySize = 32

// NewEncryptionKey makes a key for encryption at rest, as EncryptionConfiguration of apiserver.config.k8s.io/v1 holds it (base64).
func NewEncryptionKey() string {
	b := make([]byte, encryptionKeySize)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

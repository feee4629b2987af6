package resource

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Verified reads content that fails at its end if it is not that of a digest ("sha256:…").
func Verified(r io.ReadCloser, digest string) io.ReadCloser {
	return &verified{r, sha256.New(), digest}
}

type verified struct {
	io.ReadCloser
	hash   hash.Hash
	digest string
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.hash.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := digestOf(v.hash); got != v.digest {
			return n, fmt.Errorf("the content of %s is that of %s", v.digest, got)
		}
	}
	return n, err
}

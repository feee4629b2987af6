package agent

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestBinary(t *testing.T) {
	b, err := OpenBinary("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if b.Platform != "linux/"+runtime.GOARCH {
		t.Errorf("this program is for %s", b.Platform)
	}
	for _, compressed := range []bool{false, true, true} {
		r, size, err := b.content(compressed)
		if err != nil {
			t.Fatal(err)
		}
		counted := &counter{r: r}
		r = counted
		if compressed {
			if r, err = gzip.NewReader(counted); err != nil {
				t.Fatal(err)
			}
		}
		hash := sha256.New()
		n, err := io.Copy(hash, r)
		if err != nil || n != b.Size || hex.EncodeToString(hash.Sum(nil)) != b.Digest || counted.n != size {
			t.Errorf("compressed %t: %d bytes of %d (%d of %d sent), %v", compressed, n, b.Size, counted.n, size, err)
		}
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{script, script + ".none"} {
		if _, err := OpenBinary(path); err == nil {
			t.Errorf("%s is a program", path)
		}
	}
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// Export writes bundles as one stream: an OCI image layout as a tar archive, compressed with zstd, its index before its blobs. Equal bundles give
// equal streams. Every blob is compared with its digest on the way. Progress is told the bytes read so far, and all there are;
// it may be nil.
func (s *Store) Export(ctx context.Context, w io.Writer, bundles []*Bundle, progress func(bytes, total int64)) error {
	release, err := s.read(ctx)
	if err != nil {
		return err
	}
	defer release()
	root := rootIndex(slices.Clone(bundles))
	index, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return err
	}
	blobs, err := s.reachable(root)
	if err != nil {
		return fmt.Errorf("%w; \"kubewright bundle verify\" says more", err)
	}
	var total, done int64
	hashes := make([]v1.Hash, 0, len(blobs))
	for h, size := range blobs {
		hashes = append(hashes, h)
		total += size
	}
	slices.SortFunc(hashes, func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) })
	count := func(n int64) {
		if done += n; progress != nil {
			progress(done, total)
		}
	}
	// Most of it is compressed already.
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := writeFile(t, layoutFile, strings.NewReader(layoutContent), int64(len(layoutContent))); err != nil {
		return err
	}
	if err := writeFile(t, indexFile, strings.NewReader(string(index)), int64(len(index))); err != nil {
		return err
	}
	for _, h := range hashes {
		if err := s.exportBlob(ctx, t, h, blobs[h], count); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func writeFile(t *tar.Writer, name string, r io.Reader, size int64) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}

func (s *Store) exportBlob(ctx context.Context, t *tar.Writer, h v1.Hash, size int64, count func(int64)) error {
	f, err := os.Open(s.BlobPath(h))
	if err != nil {
		return fmt.Errorf("the blob %s: %w; \"kubewright bundle verify\" says what it breaks", h, err)
	}
	defer f.Close()
	sum := sha256.New()
	if err := writeFile(t, "blobs/sha256/"+h.Hex, counting{ctx, io.TeeReader(io.LimitReader(f, size), sum), count}, size); err != nil {
		return fmt.Errorf("exporting the blob %s: %w", h, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != h.Hex {
		return fmt.Errorf("the blob %s is damaged; \"kubewright bundle verify\" says what it breaks", h)
	}
	return nil
}

// counting tells how much was read, stops when its context ends, and marks what goes wrong with reading.
type counting struct {
	ctx   context.Context
	r     io.Reader
	count func(int64)
}

// readError is what went wrong with reading, not with writing what was read.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

func (c counting) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.count(int64(n))
	if err != nil && err != io.EOF {
		err = readError{err}
	}
	return n, err
}

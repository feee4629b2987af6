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
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// maxIndex bounds what an import keeps in memory, in bytes.
const maxIndex = 64 << 20

// Import reads what Export wrote and adds its bundles to the store. Every blob is verified before it gets its place; the bundles appear
// when all that they need is there, or not at all. What an interrupted import has stored, the next one does not store again. Progress is
// told the bytes of blobs read so far; it may be nil.
func (s *Store) Import(ctx context.Context, r io.Reader, progress func(bytes int64)) ([]*Bundle, error) {
	release, err := s.Add(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	z, err := zstd.NewReader(r)
	if err != nil {
		return nil, notExported(err)
	}
	defer z.Close()
	var read int64
	count := func(n int64) {
		if read += n; progress != nil {
			progress(read)
		}
	}
	t := tar.NewReader(z)
	var index *v1.IndexManifest
	verified := map[v1.Hash]int64{} // on the way in
	for first := true; ; first = false {
		h, err := t.Next()
		if errors.Is(err, io.EOF) && !first {
			break
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && index != nil:
			return nil, cutShort(err)
		case err != nil:
			return nil, notExported(err)
		case h.Typeflag == tar.TypeDir:
		case h.Typeflag != tar.TypeReg:
			return nil, notExported(fmt.Errorf("%q is not a plain file", h.Name))
		case path.Clean(h.Name) == layoutFile:
		case path.Clean(h.Name) == indexFile:
			if index, err = readIndex(t); err != nil {
				return nil, notExported(err)
			}
		default:
			if index == nil {
				return nil, notExported(fmt.Errorf("%q comes before %s", h.Name, indexFile))
			}
			blob, err := s.importBlob(ctx, h, t, count)
			if err != nil {
				return nil, err
			}
			verified[blob] = h.Size
		}
	}
	if index == nil || len(bundlesOf(index)) == 0 {
		return nil, notExported(errors.New("it names no bundles"))
	}
	// All that they need is looked at before the first appears.
	err = s.walk(&v1.IndexManifest{Manifests: bundlesOf(index)}, func(d v1.Descriptor, what string) (bool, error) {
		if verified[d.Digest] == d.Size && d.Size > 0 {
			return true, nil
		}
		if err := s.Check(d.Digest, d.Size); err != nil {
			return false, fmt.Errorf("the file is not complete: the blob %s is %w, and so is %s", d.Digest, err, what)
		}
		return true, ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return s.Publish(ctx, bundlesOf(index)...)
}

func notExported(err error) error {
	return fmt.Errorf("this is not a file that \"kubewright bundle export\" wrote: %w", err)
}

func cutShort(err error) error {
	return fmt.Errorf("the file is damaged or ends too early: %w; copy it again and import it again, which goes on from here", err)
}

func readIndex(r io.Reader) (*v1.IndexManifest, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxIndex))
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	return &index, nil
}

// importBlob stores a blob that is what its name says, unless it is there, and returns its digest.
func (s *Store) importBlob(ctx context.Context, h *tar.Header, r io.Reader, count func(int64)) (v1.Hash, error) {
	dir, name := path.Split(path.Clean(h.Name))
	want, err := v1.NewHash("sha256:" + name)
	if dir != "blobs/sha256/" || err != nil {
		return want, notExported(fmt.Errorf("it holds %q, which is no blob", h.Name))
	}
	r = counting{ctx, r, count}
	var got v1.Hash
	if s.Check(want, h.Size) == nil {
		sum := sha256.New()
		_, err = io.Copy(sum, r)
		got = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	} else {
		got, _, err = s.putAs(r, want)
	}
	switch {
	case ctx.Err() != nil:
		return want, ctx.Err()
	case errors.As(err, &readError{}):
		return want, cutShort(err)
	case err != nil:
		return want, fmt.Errorf("importing the blob %s: %w", want, err)
	case got != want:
		return want, fmt.Errorf("the file is damaged: the blob %s has the content of %s; copy it again and import it again, which goes on from here", want, got)
	}
	return want, nil
}

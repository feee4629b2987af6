package build

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/kubewright/kubewright/internal/bundle"
)

// entry is a file of a layer, owned by root.
type entry struct {
	mode       int64  // permissions
	file       string // path of the content on this computer
	content    []byte // or the content
	link       string // or the target of a symbolic link
	dir        bool   // or it is a directory
	capability string
}

// capabilities are those that a file may grant, by their numbers (linux/capability.h).
var capabilities = map[string]uint{"net_bind_service": 10}

// Layer is a stored layer: what it is in the store, and what it is unpacked.
type Layer struct {
	Digest v1.Hash `json:"digest"`
	Size   int64   `json:"size"`   // bytes, compressed
	DiffID v1.Hash `json:"diffID"` // of the tar archive
}

// putLayer stores entries, by their paths, as a layer: a tar archive, compressed with zstd. Equal entries give equal digests: there are no
// times, no users and no order but the one of the names.
func putLayer(store *bundle.Store, entries map[string]entry) (Layer, error) {
	entries = withParents(entries)
	r, w := io.Pipe()
	diff := sha256.New()
	go func() {
		w.CloseWithError(func() error {
			// One goroutine, so that blocks are cut in the same places on any computer.
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			if err != nil {
				return err
			}
			t := tar.NewWriter(io.MultiWriter(z, diff))
			for _, name := range slices.Sorted(maps.Keys(entries)) {
				if err := writeEntry(t, name, entries[name]); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return errors.Join(t.Close(), z.Close())
		}())
	}()
	digest, size, err := store.Put(r)
	// Unblocks the writer when the store gave up; it has ended when this is read to the end.
	_ = r.CloseWithError(err)
	if err != nil {
		return Layer{}, err
	}
	return Layer{Digest: digest, Size: size, DiffID: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(diff.Sum(nil))}}, nil
}

// withParents adds the directories that entries lie in.
func withParents(entries map[string]entry) map[string]entry {
	all := maps.Clone(entries)
	for name := range entries {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = entry{dir: true, mode: 0o755}
			}
		}
	}
	return all
}

func writeEntry(t *tar.Writer, name string, e entry) error {
	h := &tar.Header{Name: name, Mode: e.mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	var content io.Reader = strings.NewReader("")
	switch {
	case e.dir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
	case e.file != "":
		f, err := os.Open(e.file)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Typeflag, h.Size, content = tar.TypeReg, info.Size(), f
	default:
		h.Typeflag, h.Size, content = tar.TypeReg, int64(len(e.content)), strings.NewReader(string(e.content))
	}
	if e.capability != "" {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": fileCapability(capabilities[e.capability])}
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(t, content)
	return err
}

// fileCapability is the extended attribute that lets a file's program have a capability (struct vfs_cap_data, revision 2, of
// linux/capability.h), as "setcap cap_…=+ep" writes it.
func fileCapability(number uint) string {
	const revision2, effective = 0x02000000, 0x000001
	var b []byte
	for _, word := range []uint32{revision2 | effective, 1 << number, 0, 0, 0} { // permitted and inheritable of 0–31, then of 32–63
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return string(b)
}

// storedLayer is a layer for images.
type storedLayer struct {
	Layer
	store *bundle.Store
}

func (l storedLayer) Digest() (v1.Hash, error)            { return l.Layer.Digest, nil }
func (l storedLayer) DiffID() (v1.Hash, error)            { return l.Layer.DiffID, nil }
func (l storedLayer) Size() (int64, error)                { return l.Layer.Size, nil }
func (l storedLayer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }
func (l storedLayer) Compressed() (io.ReadCloser, error)  { return l.store.Blob(l.Layer.Digest) }
func (l storedLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return readCloser{z, func() error { z.Close(); return f.Close() }}, nil
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }

package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/renameio/v2"
)

// Store is a directory that holds bundles. Its methods may be called from several goroutines and processes at once.
type Store struct {
	dir string
	// Notice is told what a user waits for. May be nil.
	Notice func(message string)
}

// Open returns the store in a directory. The directory need not exist: it is made when something is put into it.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	layout, err := os.ReadFile(filepath.Join(abs, layoutFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if others, err := os.ReadDir(abs); err == nil && len(others) > 0 && !onlyOurs(others) {
			return nil, fmt.Errorf("%s holds files, but no OCI image layout; name an empty directory or one that does not exist", abs)
		}
	case err != nil:
		return nil, fmt.Errorf("opening the store: %w", err)
	default:
		var l struct {
			Version string `json:"imageLayoutVersion"`
		}
		if err := json.Unmarshal(layout, &l); err != nil || !strings.HasPrefix(l.Version, "1.") {
			return nil, fmt.Errorf("%s is not an OCI image layout of version 1 (it says %q)", abs, strings.TrimSpace(string(layout)))
		}
	}
	return &Store{dir: abs}, nil
}

// onlyOurs says whether a directory holds nothing but what a store does, or one that somebody is just making.
func onlyOurs(entries []os.DirEntry) bool {
	for _, e := range entries {
		switch e.Name() {
		case "blobs", "unfinished", "builds", layoutFile, indexFile, lockFile, indexLockFile:
		case "lost+found": // of a file system of its own
		default:
			return false
		}
	}
	return true
}

const (
	layoutFile    = "oci-layout"
	layoutContent = `{"imageLayoutVersion":"1.0.0"}`
	indexFile     = "index.json"
	lockFile      = "lock"       // shared by who adds, exclusive for who removes
	indexLockFile = "index.lock" // for who replaces index.json
)

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// Builds is the directory in which package build notes what it has built.
func (s *Store) Builds() string { return filepath.Join(s.dir, "builds") }

// create makes an OCI image layout of the directory, which names nothing.
func (s *Store) create(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.dir, layoutFile)); err == nil {
		return nil
	}
	// From here on an index that is not there was lost, and is not taken for an empty one. Another process may have been quicker.
	release, err := s.lock(ctx, indexLockFile, false, "another command writes the index of")
	if err != nil {
		return err
	}
	defer release()
	if _, err := os.Stat(filepath.Join(s.dir, indexFile)); err != nil {
		empty, err := json.MarshalIndent(rootIndex(nil), "", "  ")
		if err != nil {
			return err
		}
		if err := s.writeFile(filepath.Join(s.dir, indexFile), empty); err != nil {
			return fmt.Errorf("making the store: %w", err)
		}
	}
	return s.writeFile(filepath.Join(s.dir, layoutFile), []byte(layoutContent))
}

// writeFile replaces a file of the store as a whole. What a kill leaves of it is where Prune looks.
func (s *Store) writeFile(path string, content []byte) error {
	if err := renameio.WriteFile(path, content, 0o644, renameio.WithTempDir(s.unfinished())); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// WriteNote writes a file of package build, in Builds. The caller holds Add.
func (s *Store) WriteNote(name string, content []byte) error {
	return s.writeFile(filepath.Join(s.Builds(), name), content)
}

func (s *Store) unfinished() string { return filepath.Join(s.dir, "unfinished") }

// BlobPath is where the blob with a digest lies, or would lie.
func (s *Store) BlobPath(h v1.Hash) string { return filepath.Join(s.dir, "blobs", h.Algorithm, h.Hex) }

// Add keeps others from removing what is in the store until release is called. Who puts something into the store holds it from before
// the first blob until what names them is written.
func (s *Store) Add(ctx context.Context) (release func(), err error) {
	for _, d := range []string{filepath.Join(s.dir, "blobs", "sha256"), s.unfinished(), s.Builds()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("making the store: %w", err)
		}
	}
	release, err = s.lock(ctx, lockFile, true, "another command removes what is not needed from")
	if err != nil {
		return nil, err
	}
	if err := s.create(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// read keeps others from removing what is in the store while it is read. A store that cannot be written to is read without.
func (s *Store) read(ctx context.Context) (release func(), err error) {
	if f, err := os.OpenFile(filepath.Join(s.dir, lockFile), os.O_RDWR, 0); err != nil {
		return func() {}, nil
	} else if err := f.Close(); err != nil {
		return nil, err
	}
	return s.lock(ctx, lockFile, true, "another command removes what is not needed from")
}

func (s *Store) lock(ctx context.Context, name string, shared bool, busy string) (func(), error) {
	l := flock.New(filepath.Join(s.dir, name))
	try, wait := l.TryLock, l.TryLockContext
	if shared {
		try, wait = l.TryRLock, l.TryRLockContext
	}
	held, err := try()
	if err == nil && !held {
		s.notice(fmt.Sprintf("waiting: %s %s", busy, s.dir))
		held, err = wait(ctx, 50*time.Millisecond)
	}
	if err != nil || !held {
		return nil, fmt.Errorf("locking the store %s: %w", s.dir, err)
	}
	return func() { _ = l.Close() }, nil
}

func (s *Store) notice(message string) {
	if s.Notice != nil {
		s.Notice(message)
	}
}

// Put stores what r gives and returns its digest and size in bytes. The caller holds Add.
func (s *Store) Put(r io.Reader) (v1.Hash, int64, error) { return s.putAs(r, v1.Hash{}) }

// putAs stores what r gives if it has the wanted digest, which may be empty, and returns the one it has and its size in bytes.
func (s *Store) putAs(r io.Reader, want v1.Hash) (v1.Hash, int64, error) {
	f, err := os.CreateTemp(s.unfinished(), "blob-")
	if err != nil {
		return v1.Hash{}, 0, fmt.Errorf("storing a blob: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r)
	if err != nil {
		return v1.Hash{}, 0, fmt.Errorf("storing a blob: %w", err)
	}
	h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	if want != (v1.Hash{}) && h != want || s.Check(h, n) == nil {
		return h, n, nil
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return v1.Hash{}, 0, fmt.Errorf("storing the blob %s: %w", h, err)
	}
	// Over a damaged blob, too, which mends it.
	if err := os.Rename(f.Name(), s.BlobPath(h)); err != nil {
		return v1.Hash{}, 0, fmt.Errorf("storing the blob %s: %w", h, err)
	}
	if err := syncDir(filepath.Dir(s.BlobPath(h))); err != nil {
		return v1.Hash{}, 0, fmt.Errorf("storing the blob %s: %w", h, err)
	}
	return h, n, nil
}

// TempDir makes a directory for what is not finished, on the file system of the store. The caller holds Add and removes it.
func (s *Store) TempDir() (string, error) { return os.MkdirTemp(s.unfinished(), "work-") }

// Blob opens the blob with a digest.
func (s *Store) Blob(h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(s.BlobPath(h))
	if err != nil {
		return nil, fmt.Errorf("opening the blob %s: %w", h, err)
	}
	return f, nil
}

// Check reads the blob with a digest and says what is wrong with it, or nil. Size is in bytes.
func (s *Store) Check(h v1.Hash, size int64) error {
	f, err := os.Open(s.BlobPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	switch {
	case err != nil:
		return fmt.Errorf("unreadable: %w", err)
	case n != size:
		return fmt.Errorf("damaged: %d bytes instead of %d", n, size)
	case hex.EncodeToString(sum.Sum(nil)) != h.Hex:
		return errors.New("damaged: its content has another digest")
	}
	return nil
}

// readJSON reads a manifest or index, which is what its digest says.
func (s *Store) readJSON(d v1.Descriptor, v any) error {
	if err := s.Check(d.Digest, d.Size); err != nil {
		return fmt.Errorf("blob %s is %w", d.Digest, err)
	}
	b, err := os.ReadFile(s.BlobPath(d.Digest))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

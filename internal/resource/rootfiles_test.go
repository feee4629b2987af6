package resource

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rootFiles are the files below a directory. Whoever runs the tests stands for root.
type rootFiles struct {
	root string
	free uint64
	// opened are the paths that were read.
	opened []string
}

func (f *rootFiles) at(name string) string { return filepath.Join(f.root, name) }

func (f *rootFiles) Stat(name string) (Info, error) {
	i, err := os.Lstat(f.at(name))
	if err != nil {
		return Info{}, err
	}
	s := i.Sys().(*syscall.Stat_t)
	info := Info{Type: i.Mode().Type(), Mode: i.Mode().Perm(), Owner: "root", Group: "root", Size: i.Size(), ModTime: i.ModTime(), Changed: time.Unix(s.Ctim.Unix()), Inode: s.Ino}
	if i.Mode()&fs.ModeSymlink != 0 {
		info.Link, err = os.Readlink(f.at(name))
	}
	return info, err
}

func (f *rootFiles) Open(name string) (io.ReadCloser, error) {
	f.opened = append(f.opened, name)
	return os.Open(f.at(name))
}

func (f *rootFiles) Write(name string, a Attributes, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(f.at(name)), 0o755); err != nil {
		return err
	}
	w, err := os.CreateTemp(filepath.Dir(f.at(name)), ".new-")
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	if err := errors.Join(err, w.Chmod(a.Mode), w.Close()); err != nil {
		return errors.Join(err, os.Remove(w.Name()))
	}
	return os.Rename(w.Name(), f.at(name))
}

func (f *rootFiles) SetAttributes(name string, a Attributes) error {
	return os.Chmod(f.at(name), a.Mode)
}

func (f *rootFiles) Mkdir(name string, a Attributes) error { return os.MkdirAll(f.at(name), a.Mode) }

func (f *rootFiles) Link(target, name string) error {
	if err := f.Remove(name); err != nil {
		return err
	}
	return os.Symlink(target, f.at(name))
}

func (f *rootFiles) Remove(name string) error {
	if err := os.Remove(f.at(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *rootFiles) Move(from, to string) error { return os.Rename(f.at(from), f.at(to)) }

func (f *rootFiles) RemoveAll(name string) error { return os.RemoveAll(f.at(name)) }

func (f *rootFiles) Clear(name string) error {
	names, err := f.List(name)
	for _, n := range names {
		err = errors.Join(err, f.RemoveAll(filepath.Join(name, n)))
	}
	return err
}

func (f *rootFiles) List(name string) ([]string, error) {
	entries, err := os.ReadDir(f.at(name))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (f *rootFiles) Free(string) (uint64, error) { return f.free, nil }

// tree lists all that is below the root, with contents, targets of links and modes.
func (f *rootFiles) tree(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(f.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(f.root, name)
		i, err := d.Info()
		if err != nil {
			return err
		}
		if i.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			all["/"+rel] = "→ " + target
			return err
		}
		b, err := os.ReadFile(name)
		all["/"+rel] = i.Mode().String() + " " + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// execFunc answers for the programs of a machine.
type execFunc func(ctx context.Context, c Command) (Output, error)

func (f execFunc) Run(ctx context.Context, c Command) (Output, error) { return f(ctx, c) }

// blobs are contents by digest. Like the real ones they end with an error if they are damaged.
type blobs struct {
	content map[string][]byte
	damaged []string
	asked   []string
}

func (b *blobs) add(content []byte) string {
	if b.content == nil {
		b.content = map[string][]byte{}
	}
	b.content[DigestOf(content)] = content
	return DigestOf(content)
}

var errDamaged = errors.New("the blob is not what its digest says")

func (b *blobs) open(_ context.Context, digest string) (io.ReadCloser, error) {
	b.asked = append(b.asked, digest)
	content, ok := b.content[digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(&verifying{content: content, bad: slices.Contains(b.damaged, digest)}), nil
}

type verifying struct {
	content []byte
	bad     bool
}

func (v *verifying) Read(p []byte) (int, error) {
	if len(v.content) == 0 {
		if v.bad {
			return 0, errDamaged
		}
		return 0, io.EOF
	}
	n := copy(p, v.content)
	v.content = v.content[n:]
	return n, nil
}

// rootMachine is a machine whose files are below a temporary root.
type rootMachine struct {
	*Env
	files *rootFiles
	blobs *blobs
	kept  *blobs
	said  []string // progress
}

func newRootMachine(t *testing.T) *rootMachine {
	m := &rootMachine{files: &rootFiles{root: t.TempDir(), free: 1 << 40}, blobs: &blobs{}, kept: &blobs{}}
	m.Env = &Env{
		Files: m.files, Blob: m.blobs.open,
		Kept:     func(digest string) (io.ReadCloser, error) { return m.kept.open(t.Context(), digest) },
		Progress: func(message string) { m.said = append(m.said, message) },
	}
	return m
}

// write makes a file.
func (m *rootMachine) write(t *testing.T, name, content string, mode fs.FileMode) {
	t.Helper()
	if err := m.files.Write(name, Attributes{Mode: mode}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func (m *rootMachine) observe(t *testing.T, r Resource) Observed {
	t.Helper()
	o, err := r.Observe(t.Context(), m.Env)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// apply keeps what is to be kept and applies; it returns what was there before.
func (m *rootMachine) apply(t *testing.T, r Resource) Observed {
	t.Helper()
	before := m.observe(t, r)
	if k, ok := r.(Keeper); ok {
		for _, name := range k.Keeps() {
			if b, err := os.ReadFile(m.files.at(name)); err == nil {
				m.kept.add(b)
			}
		}
	}
	if err := r.Apply(t.Context(), m.Env); err != nil {
		t.Fatal(err)
	}
	if left := r.Diff(m.observe(t, r)); len(left) > 0 {
		t.Fatalf("after Apply there is still %s", left)
	}
	return before
}

// differs are the changes in words.
func (m *rootMachine) differs(t *testing.T, r Resource) []string {
	t.Helper()
	var words []string
	for _, c := range r.Diff(m.observe(t, r)) {
		words = append(words, c.String())
	}
	return words
}

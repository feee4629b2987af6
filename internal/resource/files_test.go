package resource_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// localFiles are those below a temporary root, where who runs the tests is called root, and their group, too.
func localFiles(t *testing.T) (resource.Files, string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, id := range map[string]int{"passwd": os.Getuid(), "group": os.Getgid()} {
		if err := os.WriteFile(filepath.Join(root, "etc", file), fmt.Appendf(nil, "root:x:%d:\nbroken\n", id), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := resource.NewLocal(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Files, root
}

// eachFiles runs a test with real files and with those of the fake machine, which have to agree.
func eachFiles(t *testing.T, test func(t *testing.T, f resource.Files)) {
	t.Run("local", func(t *testing.T) {
		f, _ := localFiles(t)
		test(t, f)
	})
	t.Run("fake", func(t *testing.T) { test(t, fake.New("m", nil).Env(nil).Files) })
}

// look is what a path is, in words.
func look(t *testing.T, f resource.Files, path string) string {
	t.Helper()
	i, err := f.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing"
	}
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case i.Type&fs.ModeSymlink != 0:
		return "link to " + i.Link
	case i.Type.IsDir():
		holds, err := f.List(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%04o %s:%s %v", i.Mode, i.Owner, i.Group, holds)
	}
	r, err := f.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != i.Size {
		t.Errorf("%s has %d bytes, but says %d", path, len(b), i.Size)
	}
	return fmt.Sprintf("%04o %s:%s %q", i.Mode, i.Owner, i.Group, b)
}

func TestFiles(t *testing.T) {
	a := func(mode fs.FileMode) resource.Attributes { return resource.Attributes{Mode: mode} }
	text := strings.NewReader
	type want map[string]string
	for _, c := range []struct {
		name string
		do   func(f resource.Files) error
		want want
		fail error // what the error is
		bad  bool  // whether there is any other error
	}{
		{"write, with what is missing above", func(f resource.Files) error { return f.Write("/a/b/c", a(0o600), text("x")) },
			want{"/a": "0755 root:root [b]", "/a/b": "0755 root:root [c]", "/a/b/c": `0600 root:root "x"`}, nil, false},
		{"write over a file", func(f resource.Files) error {
			return errors.Join(f.Write("/c", a(0o600), text("old")), f.Write("/c", a(0o755), text("new")))
		}, want{"/c": `0755 root:root "new"`}, nil, false},
		{"write over a link", func(f resource.Files) error {
			return errors.Join(f.Write("/c", a(0o600), text("old")), f.Link("c", "/l"), f.Write("/l", a(0o644), text("new")))
		}, want{"/c": `0600 root:root "old"`, "/l": `0644 root:root "new"`}, nil, false},
		{"write over a directory", func(f resource.Files) error {
			return errors.Join(f.Mkdir("/d", a(0o755)), f.Write("/d", a(0o644), text("new")))
		}, want{"/d": "0755 root:root []"}, nil, true},
		{"write below a file", func(f resource.Files) error {
			return errors.Join(f.Write("/c", a(0o644), text("x")), f.Write("/c/d", a(0o644), text("new")))
		}, want{"/c": `0644 root:root "x"`}, nil, true},
		{"write what breaks off", func(f resource.Files) error {
			return errors.Join(f.Write("/d/c", a(0o644), text("old")), f.Write("/d/c", a(0o644), io.MultiReader(text("new"), broken{})))
		}, want{"/d": "0755 root:root [c]", "/d/c": `0644 root:root "old"`}, errBroken, false},
		{"write below a link to a directory", func(f resource.Files) error {
			return errors.Join(f.Mkdir("/d", a(0o755)), f.Link("d", "/l"), f.Write("/l/c", a(0o644), text("x")))
		}, want{"/d": "0755 root:root [c]", "/l": "link to d", "/l/c": `0644 root:root "x"`}, nil, false},
		{"attributes", func(f resource.Files) error {
			return errors.Join(f.Write("/c", a(0o644), text("x")), f.SetAttributes("/c", a(0o640)))
		}, want{"/c": `0640 root:root "x"`}, nil, false},
		{"attributes of nothing", func(f resource.Files) error { return f.SetAttributes("/c", a(0o640)) }, want{"/c": "nothing"}, fs.ErrNotExist, false},
		{"make a directory, twice", func(f resource.Files) error {
			return errors.Join(f.Mkdir("/d/e", a(0o700)), f.Mkdir("/d/e", a(0o750)))
		}, want{"/d": "0755 root:root [e]", "/d/e": "0750 root:root []"}, nil, false},
		{"make a directory where a file is", func(f resource.Files) error {
			return errors.Join(f.Write("/c", a(0o644), text("x")), f.Mkdir("/c", a(0o755)))
		}, want{"/c": `0644 root:root "x"`}, nil, true},
		{"link over a link and a file", func(f resource.Files) error {
			return errors.Join(f.Write("/d/c", a(0o644), text("x")), f.Link("1", "/d/c"), f.Link("2", "/d/c"))
		}, want{"/d": "0755 root:root [c]", "/d/c": "link to 2"}, nil, false},
		{"link over a directory", func(f resource.Files) error { return errors.Join(f.Mkdir("/d", a(0o755)), f.Link("1", "/d")) },
			want{"/d": "0755 root:root []"}, nil, true},
		{"remove", func(f resource.Files) error {
			return errors.Join(f.Write("/d/c", a(0o644), text("x")), f.Link("c", "/d/l"), f.Remove("/d/l"), f.Remove("/d/l"), f.Remove("/x/y/z"))
		}, want{"/d": "0755 root:root [c]"}, nil, false},
		{"remove a directory that is not empty", func(f resource.Files) error {
			return errors.Join(f.Write("/d/c", a(0o644), text("x")), f.Remove("/d"))
		}, want{"/d": "0755 root:root [c]"}, syscall.ENOTEMPTY, false},
		{"remove all", func(f resource.Files) error {
			return errors.Join(f.Write("/d/e/c", a(0o644), text("x")), f.Write("/dd", a(0o644), text("x")), f.RemoveAll("/d"), f.RemoveAll("/d"), f.RemoveAll("/x/y"))
		}, want{"/d": "nothing", "/dd": `0644 root:root "x"`}, nil, false},
		{"open nothing", func(f resource.Files) error { _, err := f.Open("/c"); return err }, nil, fs.ErrNotExist, false},
		{"look below a file", func(f resource.Files) error {
			err := f.Write("/c", a(0o644), text("x"))
			_, statErr := f.Stat("/c/d")
			return errors.Join(err, statErr)
		}, nil, fs.ErrNotExist, false},
		{"list nothing", func(f resource.Files) error { _, err := f.List("/c"); return err }, nil, fs.ErrNotExist, false},
		{"list a file", func(f resource.Files) error {
			err := f.Write("/c", a(0o644), text("x"))
			_, listErr := f.List("/c")
			return errors.Join(err, listErr)
		}, nil, syscall.ENOTDIR, false},
		{"list by a link", func(f resource.Files) error {
			err := errors.Join(f.Write("/d/b", a(0o644), text("")), f.Write("/d/a", a(0o644), text("")), f.Link("d", "/l"))
			names, listErr := f.List("/l")
			if !slices.Equal(names, []string{"a", "b"}) {
				err = errors.Join(err, fmt.Errorf("it lists %q", names))
			}
			return errors.Join(err, listErr)
		}, nil, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachFiles(t, func(t *testing.T, f resource.Files) {
				err := c.do(f)
				switch {
				case c.fail != nil && !errors.Is(err, c.fail):
					t.Errorf("it fails with %v, want %v", err, c.fail)
				case c.fail == nil && (err != nil) != c.bad:
					t.Errorf("it fails with %v", err)
				}
				for path, want := range c.want {
					if got := look(t, f, path); got != want {
						t.Errorf("%s is %s, want %s", path, got, want)
					}
				}
			})
		})
	}
}

var errBroken = errors.New("the connection broke")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestLocalFilesTakeWhatAKilledProcessLeft(t *testing.T) {
	f, root := localFiles(t)
	if err := os.WriteFile(filepath.Join(root, ".c.kubewright"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Write("/c", resource.Attributes{Mode: 0o644}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if names, err := f.List("/"); err != nil || !slices.Equal(names, []string{"c", "etc"}) {
		t.Errorf("there is %q, %v", names, err)
	}
}

func TestLocalFilesStayBelowTheirRoot(t *testing.T) {
	f, _ := localFiles(t)
	outside := t.TempDir()
	if err := f.Link(outside, "/out"); err != nil {
		t.Fatal(err)
	}
	if err := f.Write("/out/x", resource.Attributes{Mode: 0o644}, strings.NewReader("x")); err == nil {
		t.Error("a link led outside")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v, %v", left, err)
	}
}

func TestLocalOwners(t *testing.T) {
	f, root := localFiles(t)
	err := f.Write("/c", resource.Attributes{Mode: 0o644, Owner: "nobody-knows"}, strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "/etc/passwd has no nobody-knows") {
		t.Errorf("an unknown owner: %v", err)
	}
	if names, err := f.List("/"); err != nil || !slices.Equal(names, []string{"etc"}) {
		t.Errorf("it left %q, %v", names, err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write("/c", resource.Attributes{Mode: 0o644, Owner: me.Uid, Group: me.Gid}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("somebody:x:4000000:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if i, err := f.Stat("/c"); err != nil || i.Owner != me.Uid || i.Group != "root" {
		t.Errorf("who has no name is %s:%s, %v", i.Owner, i.Group, err)
	}
}

func TestFakeDiskIsFull(t *testing.T) {
	m := fake.New("m", nil)
	m.SetFree(2)
	if err := m.Env(nil).Files.Write("/c", resource.Attributes{}, strings.NewReader("xyz")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it fails with %v", err)
	}
}

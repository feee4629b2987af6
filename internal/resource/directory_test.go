package resource_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestDirectoriesThatWereThereAreEmptiedIfTheyWereEmpty(t *testing.T) {
	for _, c := range []struct {
		name  string
		purge bool
		had   []string // files in it
		link  bool
		left  string // in the end
	}{
		{"empty", true, nil, false, ""},
		{"a disk's root", true, []string{"lost+found/x"}, false, "lost+found"},
		{"not empty", true, []string{"theirs"}, false, "ours theirs"},
		{"not to be purged", false, nil, false, "ours"},
		{"behind a link", true, nil, true, ""},
		{"not empty, behind a link", true, []string{"theirs"}, true, "ours theirs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fake.New("m", nil)
			env := m.Env(nil)
			if err := env.Files.Mkdir("/data", resource.Attributes{Mode: 0o700}); err != nil {
				t.Fatal(err)
			}
			d := resource.Directory{Path: "/data", Purge: c.purge}
			if c.link {
				d.Path = "/srv/link"
				if err := env.Files.Link("../data", d.Path); err != nil {
					t.Fatal(err)
				}
			}
			put := func(name string) {
				t.Helper()
				if err := env.Files.Write("/data/"+name, resource.Attributes{Mode: 0o600}, strings.NewReader("x")); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range c.had {
				put(name)
			}
			before, err := d.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			settled(t, d, env)
			put("ours")
			for range 2 {
				if err := d.Undo(t.Context(), env, before); err != nil {
					t.Fatal(err)
				}
				if left, err := env.Files.List("/data"); err != nil || strings.Join(left, " ") != c.left {
					t.Errorf("it holds %q, %v", left, err)
				}
			}
			if i, err := env.Files.Stat("/data"); err != nil || i.Mode != 0o700 {
				t.Errorf("it is %+v, %v", i, err)
			}
		})
	}
}

// TestClearLeavesMounts has a file system mounted below a directory, and on the directory itself.
func TestClearLeavesMounts(t *testing.T) {
	local, err := resource.NewLocal("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	files := local.Files
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	sub := filepath.Join(dir, "sub")
	for _, err := range []error{os.Mkdir(sub, 0o755), os.Symlink(dir, link), os.WriteFile(filepath.Join(dir, "ours"), nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mount := func(where string) {
		t.Helper()
		if err := unix.Mount("none", where, "tmpfs", 0, "size=64k"); err != nil {
			t.Skip("mounting needs root:", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(where, unix.MNT_DETACH) })
		if err := os.WriteFile(filepath.Join(where, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mount(sub)
	for _, name := range []string{dir, link} {
		if err := files.Clear(name); err == nil || !strings.Contains(err.Error(), "since something is mounted at "+sub) {
			t.Errorf("clearing %s: %v", name, err)
		}
	}
	for _, name := range []string{filepath.Join(sub, "x"), filepath.Join(dir, "ours")} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if err := unix.Unmount(sub, 0); err != nil {
		t.Fatal(err)
	}
	if err := files.Clear(link); err != nil {
		t.Error(err)
	}
	mount(dir) // as an empty disk that is to hold it
	if err := files.Clear(dir); err != nil {
		t.Error(err)
	}
	if left, err := files.List(dir); err != nil || len(left) > 0 {
		t.Errorf("it holds %q, %v", left, err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Errorf("it is no mount point any more: %v", err)
	}
	if left, err := files.List(dir); err != nil || len(left) > 0 {
		t.Errorf("below the disk it holds %q, %v", left, err)
	}
	if err := files.Clear(filepath.Join(dir, "none")); err != nil {
		t.Errorf("clearing what is not there: %v", err)
	}
}

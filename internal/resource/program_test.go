package resource

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// archive is a tar archive compressed by zstd; what has no content is a directory.
func archive(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f[0], Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(f[1]))}
		if strings.HasSuffix(f[0], "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// testProgram is a program of two commands, whose blob a machine can get.
func testProgram(t *testing.T, m *rootMachine, content string) Program {
	t.Helper()
	blob := archive(t, [2]string{"usr/", ""}, [2]string{"usr/local/bin/", ""}, [2]string{"usr/local/bin/many", content})
	return Program{Name: "many", Path: "/usr/local/bin/many", Blob: m.blobs.add(blob), Size: int64(len(blob)), Commands: []string{"one", "two"}}
}

func TestProgramComesAndGoes(t *testing.T) {
	m := newRootMachine(t)
	p := testProgram(t, m, "first")
	if got := m.differs(t, p); len(got) != 3 || got[0] != "present: absent → present" || got[1] != "command one: absent → link to many" {
		t.Fatalf("on a bare machine it differs by %q", got)
	}
	before := m.apply(t, p)
	tree := m.files.tree(t)
	if tree["/usr/local/bin/many"] != "-rwxr-xr-x first" || tree["/usr/local/bin/one"] != "→ many" || tree["/usr/local/bin/two"] != "→ many" {
		t.Errorf("installed: %q", tree)
	}
	if len(m.said) == 0 || !strings.HasPrefix(m.said[len(m.said)-1], "program many: ") || !strings.HasSuffix(m.said[len(m.said)-1], "100 %") {
		t.Errorf("progress was %q", m.said)
	}
	asked := len(m.blobs.asked)
	m.apply(t, p)
	if len(m.blobs.asked) != asked {
		t.Error("a second Apply asked for the blob again")
	}
	m.files.opened = nil
	if m.observe(t, p); slices.Contains(m.files.opened, p.Path) {
		t.Error("a program that is as it was is read to see that")
	}

	next := testProgram(t, m, "second")
	if got := m.differs(t, next); len(got) != 1 || got[0] != "content: of blob "+short(p.Blob)+" → of blob "+short(next.Blob) {
		t.Errorf("another version differs by %q", got)
	}
	m.apply(t, next)
	for range 2 {
		if err := next.Undo(t.Context(), m.Env, before); err != nil {
			t.Fatal(err)
		}
		if tree := m.files.tree(t); len(tree) != 0 {
			t.Errorf("Undo left %q", tree)
		}
	}
}

func TestProgramPutsBackWhatWasThere(t *testing.T) {
	m := newRootMachine(t)
	p := testProgram(t, m, "ours")
	m.write(t, p.Path, "theirs", 0o700)
	m.write(t, "/usr/local/bin/one", "their one", 0o750)
	if err := m.files.Link("elsewhere", "/usr/local/bin/two"); err != nil {
		t.Fatal(err)
	}
	was := m.files.tree(t)
	if got := m.differs(t, p); len(got) != 3 || !strings.Contains(got[0], "it is not what Kubewright installed") || got[2] != "command two: link to elsewhere → link to many" {
		t.Errorf("it differs by %q", got)
	}
	before := m.apply(t, p)
	if err := p.Undo(t.Context(), m.Env, before); err != nil {
		t.Fatal(err)
	}
	if now := m.files.tree(t); !maps.Equal(now, was) {
		t.Errorf("Undo made %q of %q", now, was)
	}
}

// What a container runtime has of it does not travel; what it has no more, or has damaged, does.
func TestProgramFromNearby(t *testing.T) {
	for name, c := range map[string]struct {
		near    func(blob []byte) []byte
		travels bool
	}{
		"there":   {near: func(b []byte) []byte { return b }},
		"gone":    {near: func([]byte) []byte { return nil }, travels: true},
		"cut off": {near: func(b []byte) []byte { return b[:len(b)-1] }, travels: true},
		"damaged": {near: func(b []byte) []byte { return append(b, 0) }, travels: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newRootMachine(t)
			p := testProgram(t, m, "first")
			p.Near = "/var/lib/runtime/blobs"
			r, err := m.Env.Blob(t.Context(), p.Blob)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if has := c.near(b); has != nil {
				file := "/var/lib/runtime/blobs/sha256/" + strings.TrimPrefix(p.Blob, "sha256:")
				if err := m.files.Write(file, Attributes{Mode: 0o644}, bytes.NewReader(has)); err != nil {
					t.Fatal(err)
				}
			}
			asked := len(m.blobs.asked)
			m.apply(t, p)
			if got := m.differs(t, p); len(got) != 0 {
				t.Errorf("it still differs by %q", got)
			}
			if travelled := len(m.blobs.asked) > asked; travelled != c.travels {
				t.Errorf("it travelled: %t; want %t", travelled, c.travels)
			}
		})
	}
}

func TestProgramNoticesWhatHappensToIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(m *rootMachine, path string) error
		want   string // beginning of the only change
	}{
		{"deleted", func(m *rootMachine, path string) error { return os.Remove(m.files.at(path)) }, "present: absent"},
		{"replaced by one of the same size and time", func(m *rootMachine, path string) error {
			i, err := m.files.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(m.files.Write(path, Attributes{Mode: 0o755}, strings.NewReader("FIRST")), os.Chtimes(m.files.at(path), time.Time{}, i.ModTime))
		}, "content: "},
		{"edited in place, with its time put back", func(m *rootMachine, path string) error {
			i, err := m.files.Stat(path)
			if err != nil {
				return err
			}
			// Files are stamped by the tick of a clock: until the next, nobody can tell.
			for now := i; err == nil && now.Changed.Equal(i.Changed); now, err = m.files.Stat(path) {
				err = errors.Join(os.WriteFile(m.files.at(path), []byte("fIrst"), 0o755), os.Chtimes(m.files.at(path), time.Time{}, i.ModTime))
				if err != nil {
					return err
				}
			}
			return err
		}, "content: "},
		{"not executable", func(m *rootMachine, path string) error { return os.Chmod(m.files.at(path), 0o644) }, "mode: 0644 → 0755"},
		{"a link", func(m *rootMachine, path string) error { return m.files.Link("/bin/true", path) }, "type: link → file"},
		{"stamp lost", func(m *rootMachine, _ string) error { return m.files.Remove(stampsDir + "/many.json") }, "content: "},
		{"stamp damaged", func(m *rootMachine, _ string) error {
			return os.WriteFile(m.files.at(stampsDir+"/many.json"), []byte("{"), 0o644)
		}, "content: "},
		{"a link lost", func(m *rootMachine, _ string) error { return m.files.Remove("/usr/local/bin/two") }, "command two: absent"},
		{"a link bent", func(m *rootMachine, _ string) error { return m.files.Link("/bin/true", "/usr/local/bin/two") }, "command two: link to /bin/true"},
		{"copied back as it was", func(m *rootMachine, path string) error {
			return errors.Join(m.files.Remove(path), m.files.Write(path, Attributes{Mode: 0o755}, strings.NewReader("first")))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRootMachine(t)
			p := testProgram(t, m, "first")
			m.apply(t, p)
			if err := c.happen(m, p.Path); err != nil {
				t.Fatal(err)
			}
			got := m.differs(t, p)
			if c.want == "" {
				if len(got) != 0 {
					t.Fatalf("it differs by %q", got)
				}
				return
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Fatalf("it differs by %q, not by %q", got, c.want)
			}
			m.apply(t, p)
			if got := m.files.tree(t)[p.Path]; got != "-rwxr-xr-x first" {
				t.Errorf("mended, it is %q", got)
			}
			m.files.opened = nil
			if m.observe(t, p); slices.Contains(m.files.opened, p.Path) {
				t.Error("mended, it is read at each look")
			}
		})
	}
}

func TestProgramThatCannotBeInstalled(t *testing.T) {
	good := [2]string{"usr/local/bin/many", "new"}
	for _, c := range []struct {
		name string
		blob func(t *testing.T, m *rootMachine) string
		free uint64
		want string
	}{
		{"no room", func(t *testing.T, m *rootMachine) string {
			return m.blobs.add(archive(t, [2]string{good[0], strings.Repeat("x", 5000)}))
		}, 4096,
			"program many needs 4.883KiB in /usr/local/bin, where only 4KiB are free"},
		{"damaged", func(t *testing.T, m *rootMachine) string {
			d := m.blobs.add(archive(t, good))
			m.blobs.damaged = []string{d}
			return d
		}, 1 << 30, errDamaged.Error()},
		{"cut off", func(t *testing.T, m *rootMachine) string {
			b := archive(t, [2]string{good[0], strings.Repeat("some content", 100000)})
			return m.blobs.add(b[:len(b)-20])
		}, 1 << 30, "unexpected EOF"},
		{"not there", func(*testing.T, *rootMachine) string { return "sha256:0" }, 1 << 30, "getting program many"},
		{"another program", func(t *testing.T, m *rootMachine) string { return m.blobs.add(archive(t, [2]string{"usr/bin/sh", ""})) }, 1 << 30, "holds usr/bin/sh, not usr/local/bin/many"},
		{"two programs", func(t *testing.T, m *rootMachine) string {
			return m.blobs.add(archive(t, good, [2]string{"usr/bin/sh", ""}))
		}, 1 << 30, "holds usr/bin/sh besides"},
		{"none", func(t *testing.T, m *rootMachine) string { return m.blobs.add(archive(t, [2]string{"usr/", ""})) }, 1 << 30, "holds no file"},
		{"no archive", func(_ *testing.T, m *rootMachine) string { return m.blobs.add([]byte("no archive at all")) }, 1 << 30, "unpacking program many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRootMachine(t)
			p := testProgram(t, m, "old")
			m.apply(t, p)
			was := m.files.tree(t)
			p.Blob = c.blob(t, m)
			m.files.free = c.free
			if err := p.Apply(t.Context(), m.Env); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Apply says %v, not %q", err, c.want)
			}
			if now := m.files.tree(t); !maps.Equal(now, was) {
				t.Errorf("it made %q of %q", now, was)
			}
		})
	}
}

func TestProgramLeavesDirectoriesAlone(t *testing.T) {
	m := newRootMachine(t)
	p := testProgram(t, m, "new")
	if err := m.files.Mkdir("/usr/local/bin/two", Attributes{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	var blocked BlockedError
	if err := p.Apply(t.Context(), m.Env); !errors.As(err, &blocked) || !strings.Contains(err.Error(), "/usr/local/bin/two is a directory") {
		t.Errorf("Apply says %v", err)
	}
	if tree := m.files.tree(t); len(tree) != 0 {
		t.Errorf("it installed %q", tree)
	}
}

// TestWhatBundlesBringTravels sends the kinds that take content from bundles to an agent.
func TestWhatBundlesBringTravels(t *testing.T) {
	for _, r := range []Resource{
		Program{Name: "many", Path: "/usr/local/bin/many", Blob: "sha256:1", Size: 7, Commands: []string{"one"}},
		Packages{Names: []string{"tar"}, Repository: "sha256:1", Dir: testPackagesDir},
		Images{Images: []Image{{Name: "r/a:1", Manifest: "sha256:1"}}, Socket: "/s", Root: "/r", Snapshotter: "native"},
	} {
		e, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(e); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%#v arrives as %#v: %v", r, got, err)
		}
	}
}

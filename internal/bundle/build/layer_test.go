package build

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/bundle"
)

func testStore(t *testing.T) *bundle.Store {
	t.Helper()
	s, err := bundle.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	release, err := s.Add(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return s
}

func TestPutLayer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries := map[string]entry{
		"usr/bin/program": {mode: 0o755, file: file, capability: "net_bind_service"},
		"usr/bin/other":   {link: "program"},
		"tmp":             {dir: true, mode: 0o1777},
		"etc/passwd":      {mode: 0o644, content: []byte("root\n")},
	}
	s := testStore(t)
	l, err := putLayer(s, entries)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := putLayer(testStore(t), entries); err != nil || again != l {
		t.Errorf("equal entries give %+v and %+v, %v", l, again, err)
	}
	r, err := storedLayer{l, s}.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var got []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %o %d:%d %d %s%s%x", h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Linkname, b, h.PAXRecords["SCHILY.xattr.security.capability"])))
	}
	want := []string{
		"etc/ 755 0:0 0", "etc/passwd 644 0:0 0 root", "tmp/ 1777 0:0 0", "usr/ 755 0:0 0", "usr/bin/ 755 0:0 0",
		"usr/bin/other 777 0:0 0 program",
		// What "setcap cap_net_bind_service=+ep" writes, as "getfattr -e hex" shows it.
		"usr/bin/program 755 0:0 0 content" + "0100000200040000000000000000000000000000",
	}
	for i := range want {
		if i >= len(got) || strings.ReplaceAll(got[i], "\n", "") != want[i] {
			t.Errorf("the layer holds\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			break
		}
	}
	if _, err := putLayer(s, map[string]entry{"x": {file: "/does/not/exist"}}); err == nil {
		t.Error("a layer of a file that is not there was made")
	}
}

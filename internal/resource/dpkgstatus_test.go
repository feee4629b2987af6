package resource

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// aDpkgStatus is a list of a machine of the architecture NATIVE, as dpkg writes it.
const aDpkgStatus = `Package: adduser
Status: install ok installed
Priority: important
Architecture: all
Multi-Arch: foreign
Version: 3.134
Depends: passwd (>= 1:4.11), perl:any
Description: add and remove users
 Status: of a user, which is none of a package
 .
 Version: 0

Package: chrony
Status: deinstall ok config-files
Architecture: NATIVE
Version: 4.3-2+deb12u1
Conffiles:
 /etc/chrony/chrony.conf 97900e2e1ff9a1ae6d3f9ac6a0f8f7fa
 /etc/ppp/ip-up.d/chrony 52aa6fbd81ee1ed53d66e6c5f6c8c2d4 obsolete

Package: dpkg
Essential: yes
Status: install ok installed
Architecture: NATIVE
Version: 1.21.22
Pre-Depends: libbz2-1.0, libc6 (>= 2.34)
Depends: tar (>= 1.28-1)

Package: exim4
Status: install ok not-installed

Package: held
Status: hold ok half-configured
Architecture: FOREIGN
Version: 1:2.0~rc1-3
Provides: mail-transport-agent, held-api (= 2)

Package: libc6
Protected: yes
Status: install ok installed
Architecture: NATIVE
Multi-Arch: same
Version: 2.36-9

Package: libc6
Status: install reinstreq half-installed
Architecture: zFOREIGN
Multi-Arch: same
Version: 2.36-9
`

func TestParseDpkgStatus(t *testing.T) {
	got, err := parseDpkgStatus(strings.NewReader(aDpkgStatus))
	want := []packageState{
		{name: "adduser", version: "3.134", status: "installed", needs: ", passwd (>= 1:4.11), perl:any"},
		{name: "chrony", version: "4.3-2+deb12u1", status: "config-files", needs: ", "},
		{name: "dpkg", version: "1.21.22", status: "installed", needs: "libbz2-1.0, libc6 (>= 2.34), tar (>= 1.28-1)", essential: true},
		{name: "held:FOREIGN", version: "1:2.0~rc1-3", status: "half-configured", needs: ", ", provides: "mail-transport-agent, held-api (= 2)"},
		{name: "libc6:NATIVE", version: "2.36-9", status: "installed", needs: ", ", essential: true},
		{name: "libc6:zFOREIGN", version: "2.36-9", status: "half-installed", needs: ", "},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it is\n%+v, %v\nwant\n%+v", got, err, want)
	}
	// Of what cannot be read, nothing is to be believed.
	if got, err := parseDpkgStatus(strings.NewReader(aDpkgStatus + strings.Repeat("x", maxDpkgLine+1))); err == nil {
		t.Errorf("a line without an end: %d packages", len(got))
	}
}

// dpkgQuery is the machine's, of another directory of dpkg's.
type dpkgQuery struct {
	dir   string
	asked int
}

func (d *dpkgQuery) Run(ctx context.Context, c Command) (Output, error) {
	d.asked++
	c.Args = slices.Insert(slices.Clone(c.Args), 0, "--admindir="+d.dir)
	return LocalExec{}.Run(ctx, c)
}

// What is read is what dpkg-query says, where there is one.
func TestDpkgStatusIsWhatDpkgSays(t *testing.T) {
	native, err := LocalExec{}.Run(t.Context(), Command{Name: "dpkg", Args: []string{"--print-architecture"}})
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this machine has no dpkg")
	}
	if err != nil {
		t.Fatal(err)
	}
	foreign := "armel"
	text := strings.NewReplacer("NATIVE", strings.TrimSpace(native.Stdout), "zFOREIGN", "zz-of-none", "FOREIGN", foreign).Replace(aDpkgStatus)
	root := t.TempDir()
	dir := filepath.Join(root, "var/lib/dpkg")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "updates"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("status", text)
	write("arch", foreign+"\n")
	files, err := newLocalFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.tree.Close() }()
	query := &dpkgQuery{dir: dir}
	env := &Env{Files: files, Exec: query}
	said, err := askDpkg(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if read, ok := readDpkgStatus(env); !ok || !reflect.DeepEqual(read, said) {
		t.Errorf("what is read is\n%+v\nand dpkg says\n%+v", read, said)
	}
	// While dpkg works, it knows more.
	query.asked = 0
	if all, err := listPackages(t.Context(), env); err != nil || query.asked != 0 || all["chrony"].status != "config-files" {
		t.Errorf("dpkg was asked %d times: %v, %v", query.asked, all["chrony"], err)
	}
	write("updates/0000", "Package: chrony\nStatus: install ok unpacked\nArchitecture: "+strings.TrimSpace(native.Stdout)+"\nVersion: 5.0\n")
	if all, err := listPackages(t.Context(), env); err != nil || query.asked != 1 || all["chrony"].status != "unpacked" || all["chrony"].version != "5.0" {
		t.Errorf("dpkg was asked %d times: %v, %v", query.asked, all["chrony"], err)
	}
}

package build

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const realDistro = "../../../distro"

// What is declared fits together: every component of every release can be read, and is pinned in the version that the release names.
func TestDeclared(t *testing.T) {
	releases, err := Releases(realDistro)
	if err != nil {
		t.Fatal(err)
	}
	if len(releases) < 2 {
		t.Errorf("only %d releases are declared", len(releases))
	}
	used := map[string]bool{}
	newest := "" // what a component asks of Go; all are 1.2x.y
	for _, r := range releases {
		layers := map[string]bool{}
		for _, name := range r.Distributions {
			d, err := readDistribution(realDistro, name)
			if err != nil {
				t.Fatal(err)
			}
			for l := range d.Layers {
				layers[l] = true
			}
		}
		for name := range r.Components {
			c, err := readComponent(realDistro, name, r)
			if err != nil {
				t.Error(err)
				continue
			}
			p := c.pin
			used[p.mod] = true
			if _, err := c.sourceSum(); err != nil {
				t.Error(err)
			}
			if err := c.checkLayers(layers); err != nil {
				t.Error(err)
			}
			newest = max(newest, goLine(t, p.mod))
		}
		// The versions that kubeadm checks against each other.
		for _, name := range []string{"kubernetes", "etcd", "coredns", "pause"} {
			if _, ok := r.Components[name]; !ok {
				t.Errorf("release %s lacks %s", r.Kubernetes, name)
			}
		}
	}
	mods, err := filepath.Glob(filepath.Join(realDistro, "*", "*.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if asked := goLine(t, filepath.Join(realDistro, "go.mod")); asked != newest {
		t.Errorf("distro/go.mod asks for Go %s, and a component for %s", asked, newest)
	}
	for _, m := range mods {
		if !used[m] {
			t.Errorf("no release uses %s", m)
		}
	}
}

// goLine is the version of Go that a go.mod asks for.
func goLine(t *testing.T, file string) string {
	t.Helper()
	m, err := modfile.ParseLax(file, []byte(read(t, file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m.Go.Version
}

func TestInvalidData(t *testing.T) {
	const release = "kubernetes: v1.2.3\nplatforms: [linux/amd64]\ncomponents:\n  thing: {version: v1.0.0, date: 2026-01-02T03:04:05Z, source: so it is}\n"
	const component = "module: example.com/thing\nlicence: MIT\nprograms:\n- {name: thing, package: example.com/thing, path: usr/bin/thing}\n"
	for _, c := range []struct{ name, release, component, mod, says string }{
		{"unknown key", release + "colour: red\n", component, "", "colour"},
		{"no version", strings.Replace(release, "v1.2.3", "1.2", 1), component, "", "want a version such as v1.37.1"},
		{"no source", strings.Replace(release, "so it is", `""`, 1), component, "", "components.thing: want version, date and source"},
		{"odd commit", strings.Replace(release, "source:", "commit: abc, source:", 1), component, "", "40 hexadecimal digits"},
		{"no component", release, "", "", "does not exist"},
		{"path outside", release, strings.Replace(component, "usr/bin/thing", "../thing", 1), "", "below the root directory"},
		{"two kinds", release, strings.Replace(component, "path:", "c: x.c, path:", 1), "", "one of package, commands and c"},
		{"image of nothing", release, component + "images:\n- {name: a/b, tag: x, programs: [other]}\n", "", "there is no program other"},
		{"other version pinned", release, component, "module m\nrequire example.com/thing v1.0.1\n", "requires example.com/thing v1.0.0"},
		{"no pin", release, component, "", "requires example.com/thing v1.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, content string) {
				t.Helper()
				if content == "" {
					return
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			write("v1.2.yaml", c.release)
			write("thing/component.yaml", c.component)
			write("thing/go.mod", c.mod)
			_, err := Build(t.Context(), testStore(t), Options{Distro: dir, Platform: "linux/amd64"})
			var invalid InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("building: %v", err)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	releases := []Release{{Kubernetes: "v1.37.1", Platforms: []string{"linux/amd64"}}, {Kubernetes: "v1.36.4", Platforms: []string{"linux/amd64"}}}
	for _, c := range []struct{ version, platform, want, says string }{
		{"", "linux/amd64", "v1.37.1", ""},
		{"v1.36.4", "linux/amd64", "v1.36.4", ""},
		{"v1.35.0", "linux/amd64", "", "there are v1.37.1, v1.36.4"},
		{"", "linux/s390x", "", "but for linux/amd64"},
	} {
		r, err := choose(releases, c.version, c.platform)
		if c.says == "" && (err != nil || r.Kubernetes != c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q on %q: %s, %v", c.version, c.platform, r.Kubernetes, err)
		}
	}
}

func TestExpand(t *testing.T) {
	c := Component{version: Version{Version: "v3.7.3"}}
	if got := c.expand("${version} ${number}-0 ${major}.${minor} ${commit}"); got != "v3.7.3 3.7.3-0 3.7 unknown" {
		t.Error(got)
	}
	c.version.Version = "3.10.2"
	if got := c.expand("v${version} ${number}"); got != "v3.10.2 3.10.2" {
		t.Error(got)
	}
}

func TestExplain(t *testing.T) {
	for said, remedy := range map[string]string{
		`go: example.com/x@v1.0.0: reading https://proxy.example/x: 404 Not Found`:                                  "module proxy",
		`go: example.com/x@v1.0.0: Get "https://proxy.example/x": dial tcp: lookup proxy.example: no such host`:     "export",
		`verifying example.com/x@v1.0.0: checksum mismatch`:                                                         "Don't go on",
		`# runtime/cgo` + "\n" + `cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`: "apt-get install",
		`seccomp.go:20:11: fatal error: seccomp.h: No such file or directory`:                                       "libseccomp-dev",
		`go: errors parsing go.mod: go.mod requires go >= 1.27 (running go 1.26.8; GOTOOLCHAIN=local)`:              "too old",
		`/usr/local/go/pkg/tool/linux_amd64/compile: signal: killed`:                                                "memory",
		`E: Failed to fetch http://deb.example/debian/pool/x.deb`:                                                   "/etc/apt",
		`write /tmp/go-build/b001/_pkg_.a: no space left on device`:                                                 "no space left",
		`missing go.sum entry for module providing package example.com/y`:                                           "go mod tidy",
	} {
		if err := explain(errors.New("go build"), strings.Split(said, "\n")); !strings.Contains(err.Error(), remedy) || !strings.Contains(err.Error(), strings.Split(said, "\n")[0]) {
			t.Errorf("%q is explained as: %v", said, err)
		}
	}
}

func TestMerged(t *testing.T) {
	for name, want := range map[string]string{"bin/kmod": "usr/bin/kmod", "lib64/ld.so": "usr/lib64/ld.so", "lib": "lib", "usr/lib/x": "usr/lib/x", "library/x": "library/x"} {
		if got := merged(name); got != want {
			t.Errorf("%s lies at %s, not %s", name, got, want)
		}
	}
}

func TestAddMade(t *testing.T) {
	entries := map[string]entry{
		"usr/sbin/xtables-nft-multi": {}, "etc/debian_version": {},
		"usr/share/ca-certificates/b.crt": {content: []byte("B\n\n")}, "usr/share/ca-certificates/a.crt": {content: []byte("A")},
	}
	addMade(entries, []string{"usr/share/ca-certificates/b.crt", "usr/share/ca-certificates/a.crt"})
	if got := string(entries["etc/ssl/certs/ca-certificates.crt"].content); got != "A\nB\n" {
		t.Errorf("authorities: %q", got)
	}
	if entries["usr/sbin/ip6tables-restore"].link != "xtables-nft-multi" || entries["lib64"].link != "usr/lib64" || entries["tmp"].mode != 0o1777 || !slices.Contains(strings.Split(string(entries["etc/passwd"].content), ":"), "/root") {
		t.Errorf("made: %+v", entries)
	}
}

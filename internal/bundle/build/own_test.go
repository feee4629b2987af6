package build

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/bundle"
)

// What is Kubewright's own has no upstream: its module is the go.mod's. Its programs may lie in directories of it, and change with
// any file there but tests.
func TestBuildOwn(t *testing.T) {
	u := newUpstream(t)
	distro, store := filepath.Join(u.work, "distro"), filepath.Join(u.work, "store")
	mine := filepath.Join(distro, "mine")
	write(t, filepath.Join(distro, "v1.2.yaml"), "kubernetes: v1.2.3\nplatforms: ["+platform()+"]\ncomponents:\n"+
		"  mine: {version: v1.0.0, date: 2026-01-02T03:04:05Z, source: Kubewright's own}\n")
	write(t, filepath.Join(mine, "component.yaml"), "module: distro.example/mine\nlicence: MIT\n"+
		"programs:\n- {name: mine, package: ., path: mine, version: []}\n"+
		"- name: many\n  path: usr/bin/many\n  host: true\n  commands:\n  - {name: first, package: ./first, version: []}\n  - {name: second, package: ./second, version: []}\n"+
		"images:\n- {name: example.com/mine, tag: \"${version}\", programs: [mine]}\n")
	write(t, filepath.Join(mine, "go.mod"), "module distro.example/mine\n\ngo 1.26\n")
	write(t, filepath.Join(mine, "go.sum"), "")
	for _, dir := range []string{".", "first", "second"} {
		write(t, filepath.Join(mine, dir, "main.go"), say("v1.0.0"))
	}
	if built, _ := build(t, store, distro); !slices.Equal(built, []string{"mine"}) {
		t.Errorf("the first build built %q", built)
	}
	s, err := bundle.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Find(t.Context(), "v1.2.3", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Parts) != 2 {
		t.Errorf("the bundle has %d parts", len(b.Parts))
	}
	for _, p := range b.Parts {
		if p.Source != "distro.example/mine v1.0.0" || p.Sum != "" || p.Kind == bundle.Programs && !slices.Equal(p.Blobs[0].Commands, []string{"first", "second"}) {
			t.Errorf("a part does not say what it is: %+v", p)
		}
	}

	write(t, filepath.Join(mine, "second", "main_test.go"), "package main\n")
	if built, _ := build(t, store, distro); len(built) > 0 {
		t.Errorf("a new test made %q be built again", built)
	}
	write(t, filepath.Join(mine, "second", "main.go"), strings.Replace(say("v1.0.0"), "Commit string", "Commit = \"new\"", 1))
	if built, _ := build(t, store, distro); !slices.Equal(built, []string{"mine"}) {
		t.Errorf("after a change in a directory of it, %q were built", built)
	}
}

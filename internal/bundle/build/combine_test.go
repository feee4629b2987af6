package build

import (
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

func TestImportable(t *testing.T) {
	const source = `//go:build linux

// Package comment.
package main

import (
	"fmt"

	_ "example.com/cloud" // a backend
	_ "example.com/other"
)

type main2 struct{}

func (main2) main() {}

func main() { fmt.Println("main") }
`
	const want = `//go:build linux

// Package comment.
package main_thing

import (
	"fmt"

	// a backend
	_ "example.com/other"
)

type main2 struct{}

func (main2) main() {}

func Main() { fmt.Println("main") }
`
	got, found, err := importable("thing.go", []byte(source), "main_thing", []string{"example.com/cloud", "example.com/gone"})
	if err != nil {
		t.Fatal(err)
	}
	// The comment of an import that is gone stays behind.
	if string(got) != want {
		t.Errorf("the copy is\n%s", got)
	}
	if !slices.Equal(found, []string{"example.com/cloud"}) {
		t.Errorf("found %q", found)
	}
	for _, bad := range []string{"package other\n", "no Go at all"} {
		if _, _, err := importable("x.go", []byte(bad), "p", nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCombinedSource(t *testing.T) {
	for _, p := range []Program{
		{Name: "all", Commands: []Command{{Name: "kube-apiserver"}, {Name: "go"}}},
		{Name: "one", Commands: []Command{{Name: "one"}}},
	} {
		source, err := combinedSource(p, "example.com/generated/"+p.Name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), "main.go", source, parser.AllErrors)
		if err != nil {
			t.Fatalf("%v in\n%s", err, source)
		}
		for _, c := range p.Commands {
			path := `"example.com/generated/` + p.Name + "/" + identifier(c.Name) + `"`
			found := false
			for _, i := range f.Imports {
				found = found || i.Path.Value == path
			}
			if !found {
				t.Errorf("%s is not imported by\n%s", path, source)
			}
		}
	}
}

func FuzzImportable(f *testing.F) {
	f.Add([]byte("package main\n\nimport _ \"x\"\n\nfunc main() {}\n"), "x")
	f.Add([]byte("package main // c\n/* d */ func main() {}"), "")
	f.Fuzz(func(t *testing.T, source []byte, without string) {
		got, _, err := importable("f.go", source, "main_x", []string{without})
		if err != nil {
			return
		}
		if _, err := parser.ParseFile(token.NewFileSet(), "f.go", got, 0); err != nil {
			t.Errorf("%v: %q became %q", err, source, got)
		}
	})
}

func TestExecutable(t *testing.T) {
	for pkg, want := range map[string]string{
		"go.etcd.io/etcd/server/v3": "server", "github.com/containerd/containerd/v2/cmd/ctr": "ctr", "github.com/opencontainers/runc": "runc",
		"example.com/version": "version",
	} {
		if got := executable(pkg); got != want {
			t.Errorf("the program of %s is called %s, not %s", pkg, got, want)
		}
	}
}

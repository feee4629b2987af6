package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/kubewright/kubewright/internal/bundle"
)

// upstream serves the modules of a make-believe upstream from a directory, and points the go command at it. It needs no network.
type upstream struct {
	t    *testing.T
	dir  string // of the module proxy
	work string
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{t: t, dir: filepath.Join(t.TempDir(), "proxy"), work: t.TempDir()}
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(u.dir))
	t.Setenv("GONOSUMDB", "*")
	t.Setenv("GOMODCACHE", filepath.Join(u.work, "mod"))
	t.Cleanup(func() { // modules are read-only
		_ = filepath.WalkDir(u.work, func(path string, _ os.DirEntry, _ error) error { return os.Chmod(path, 0o700) })
	})
	return u
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// publish makes a version of a module of files.
func (u *upstream) publish(mod, version string, files map[string]string) {
	u.t.Helper()
	src := u.t.TempDir()
	write(u.t, filepath.Join(src, "go.mod"), "module "+mod+"\n\ngo 1.26\n")
	for name, content := range files {
		write(u.t, filepath.Join(src, name), content)
	}
	at := filepath.Join(u.dir, mod, "@v")
	write(u.t, filepath.Join(at, version+".mod"), "module "+mod+"\n\ngo 1.26\n")
	write(u.t, filepath.Join(at, version+".info"), fmt.Sprintf(`{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, version))
	f, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer f.Close()
	if err := zip.CreateFromDir(f, module.Version{Path: mod, Version: version}, src); err != nil {
		u.t.Fatal(err)
	}
}

// say is a program that says its version, or another if that is lied about.
func say(version string) string {
	return "package main\n\nimport (\n\t\"os\"\n)\n\nvar Commit string\n\nfunc main() { os.Stdout.WriteString(os.Args[0] + \" " + version + " \" + Commit + \"\\n\") }\n"
}

// distro writes a release of two components: "one", a program of its own, and "many", two programs in one, both of the module
// example.com/thing in a version.
func (u *upstream) distro(dir, version string) {
	u.t.Helper()
	write(u.t, filepath.Join(dir, "v1.2.yaml"), fmt.Sprintf("kubernetes: v1.2.3\nplatforms: [%s]\ncomponents:\n"+
		"  one: {version: %[2]s, date: 2026-01-02T03:04:05Z, commit: \"0123456789012345678901234567890123456789\", source: it is the newest}\n"+
		"  many: {version: %[2]s, date: 2026-01-02T03:04:05Z, source: it is the newest, kubeadm: 0.9.0}\n", platform(), version))
	write(u.t, filepath.Join(dir, "one", "component.yaml"), "module: example.com/thing\nlicence: MIT\nbuild: {ldflags: [\"-X main.Commit=${commit}\"]}\n"+
		"programs:\n- {name: one, package: example.com/thing/one, path: usr/bin/one, version: [--version], host: true}\n"+
		"images:\n- {name: registry.example/one, tag: \"${version}\", programs: [one], entrypoint: [/usr/bin/one], user: \"65532\"}\n")
	write(u.t, filepath.Join(dir, "many", "component.yaml"), "module: example.com/thing\nlicence: MIT\n"+
		"programs:\n- name: many\n  path: usr/bin/many\n  host: true\n  commands:\n"+
		"  - {name: first, package: example.com/thing/first, version: []}\n  - {name: second, package: example.com/thing/second, version: []}\n"+
		"images:\n- {name: registry.example/first, tag: \"${number}\", programs: [many], links: {usr/bin/first: many}}\n")
	for name, tools := range map[string]string{"one": "tool example.com/thing/one\n", "many": "tool (\n\texample.com/thing/first\n\texample.com/thing/second\n)\n"} {
		mod := filepath.Join(dir, name)
		write(u.t, filepath.Join(mod, "go.mod"), "module distro.example/"+name+"\n\ngo 1.26\n\n"+tools+"\nrequire example.com/thing "+version+"\n")
		tools, err := newToolchain(u.t.Context(), platform(), mod)
		if err != nil {
			u.t.Fatal(err)
		}
		if err := tools.run(u.t.Context(), mod, false, os.Stderr, nil, "go", "mod", "tidy"); err != nil {
			u.t.Fatal(err)
		}
	}
}

func (u *upstream) thing(version string) {
	u.publish("example.com/thing", version, map[string]string{"one/main.go": say(version), "first/main.go": say(version), "second/main.go": say(version)})
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// build builds and returns which components were built anew, and the digest of the bundle.
func build(t *testing.T, dir, distro string) (built []string, digest string) {
	t.Helper()
	s, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Build(t.Context(), s, Options{Distro: distro, Platform: platform()})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.Built {
		if !b.Unchanged {
			built = append(built, b.Name)
		}
	}
	verifies(t, dir)
	return built, r.Bundle.Digest
}

func verifies(t *testing.T, dir string) {
	t.Helper()
	s, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.Verify(context.Background(), nil); err != nil || len(v.Faults) > 0 {
		t.Errorf("the store does not verify: %+v, %v", v, err)
	}
}

func TestBuild(t *testing.T) {
	u := newUpstream(t)
	u.thing("v1.0.0")
	u.thing("v1.0.1")
	distro := filepath.Join(u.work, "distro")
	store := filepath.Join(u.work, "store")
	u.distro(distro, "v1.0.0")

	built, digest := build(t, store, distro)
	if want := []string{"many", "one"}; !slices.Equal(built, want) {
		t.Errorf("the first build built %q, not %q", built, want)
	}
	if built, again := build(t, store, distro); len(built) > 0 || again != digest {
		t.Errorf("a second build built %q and gave %s, not %s", built, again, digest)
	}

	// Elsewhere, with nothing compiled yet, the same comes out.
	elsewhere := filepath.Join(u.work, "some", "other", "place")
	if err := os.CopyFS(elsewhere, os.DirFS(distro)); err != nil {
		t.Fatal(err)
	}
	t.Run("elsewhere", func(t *testing.T) {
		t.Setenv("GOCACHE", filepath.Join(u.work, "cache"))
		// What a user has set for own work has no say.
		t.Setenv("GOFLAGS", "-race")
		t.Setenv("GOAMD64", "v3")
		config := filepath.Join(u.work, "goenv")
		write(t, config, "GOFLAGS=-race\nGOAMD64=v3\nGOFIPS140=latest\nCGO_CFLAGS=-O0\n")
		t.Setenv("GOENV", config)
		if _, other := build(t, filepath.Join(u.work, "store2"), elsewhere); other != digest {
			t.Errorf("built elsewhere, the bundle is %s, not %s", other, digest)
		}
	})

	s, err := bundle.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Find(t.Context(), "v1.2.3", "")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(u.work, "root")
	if err := s.Unpack(t.Context(), b, bundle.Programs, root); err != nil {
		t.Fatal(err)
	}
	tools := toolchain{goos: runtime.GOOS, goarch: runtime.GOARCH}
	for call, want := range map[string]string{
		"usr/bin/one":         "v1.0.0 0123456789012345678901234567890123456789",
		"usr/bin/first":       "first v1.0.0",
		"usr/bin/second":      "second v1.0.0",
		"usr/bin/many second": "second v1.0.0",
	} {
		f := strings.Fields(call)
		out, err := tools.output(t.Context(), root, filepath.Join(root, f[0]), append(f[1:], "x")...)
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s says %q, not %q: %v", call, out, want, err)
		}
	}

	// One layer is both the program of hosts and of images.
	layers := map[string]int{}
	for _, p := range b.Parts {
		if p.Source != "example.com/thing v1.0.0" || p.Licences != "MIT" || p.Version != "v1.0.0" || p.Choice != "it is the newest" || !strings.HasPrefix(p.Sum, "h1:") || p.Platform != platform() {
			t.Errorf("a part does not say what it is: %+v", p)
		}
		for _, blob := range p.Blobs {
			layers[blob.Title]++
		}
	}
	if layers["many"] != 2 || layers["one"] != 2 {
		t.Errorf("layers are in so many parts: %v", layers)
	}

	// A component that changes is built alone; so is one whose blob is damaged.
	write(t, filepath.Join(distro, "one", "component.yaml"), strings.Replace(read(t, filepath.Join(distro, "one", "component.yaml")), "MIT", "MIT OR Apache-2.0", 1))
	if built, _ := build(t, store, distro); !slices.Equal(built, []string{"one"}) {
		t.Errorf("after a change of one, %q were built", built)
	}
	for _, p := range b.Parts {
		if p.Component == "many" && p.Kind == bundle.Programs {
			if err := os.Truncate(s.BlobPath(p.Blobs[0].Digest), 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	if built, _ := build(t, store, distro); !slices.Equal(built, []string{"many"}) {
		t.Errorf("after damage to many, %q were built", built)
	}

	// Another version replaces the bundle; what it does not need can go, and nothing else.
	u.distro(distro, "v1.0.1")
	if built, other := build(t, store, distro); len(built) != 2 || other == digest {
		t.Errorf("for another version, %q were built, and the bundle is %s", built, other)
	}
	if unneeded, err := s.Unneeded(); err != nil || unneeded.Empty() {
		t.Errorf("not needed are %+v, %v", unneeded, err)
	} else if pruned, err := s.Prune(t.Context(), unneeded); err != nil || pruned.Empty() {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
	if built, _ := build(t, store, distro); len(built) > 0 {
		t.Errorf("pruning made %q be built again", built)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBuildRefusesAFalseVersion(t *testing.T) {
	u := newUpstream(t)
	u.publish("example.com/thing", "v1.0.0", map[string]string{"one/main.go": say("v0.9.9"), "first/main.go": say("v1.0.0"), "second/main.go": say("v1.0.0")})
	u.distro(u.work, "v1.0.0")
	_, err := Build(t.Context(), testStore(t), Options{Distro: u.work, Platform: platform()})
	if err == nil || !strings.Contains(err.Error(), "one was built as v1.0.0, but") || !strings.Contains(err.Error(), "v0.9.9") {
		t.Errorf("building: %v", err)
	}
}

func TestBuildSaysWhichModuleIsMissing(t *testing.T) {
	u := newUpstream(t)
	u.thing("v1.0.0")
	u.distro(u.work, "v1.0.0")
	t.Setenv("GOMODCACHE", filepath.Join(u.work, "empty"))
	t.Setenv("GOPROXY", "file://"+filepath.Join(u.work, "nowhere"))
	_, err := Build(t.Context(), testStore(t), Options{Distro: u.work, Platform: platform()})
	if err == nil || !strings.Contains(err.Error(), "example.com/thing") {
		t.Errorf("building: %v", err)
	}
	t.Setenv("PATH", "/nowhere")
	if _, err := Build(t.Context(), testStore(t), Options{Distro: u.work, Platform: platform()}); err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("building without Go: %v", err)
	}
}

// An interrupted build leaves a store that verifies, and the next goes on from there.
func TestBuildInterrupted(t *testing.T) {
	u := newUpstream(t)
	u.thing("v1.0.0")
	u.distro(u.work, "v1.0.0")
	store := filepath.Join(u.work, "store")
	s, err := bundle.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = Build(ctx, s, Options{Distro: u.work, Platform: platform(), Progress: func(p Progress) {
		if p.Component == "one" { // the other is finished
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("an interrupted build: %v", err)
	}
	verifies(t, store)
	if built, _ := build(t, store, u.work); !slices.Equal(built, []string{"one"}) {
		t.Errorf("the build after it built %q", built)
	}
}

// Of two builds at once, each component is built by one.
func TestTwoBuildsAtOnce(t *testing.T) {
	u := newUpstream(t)
	u.thing("v1.0.0")
	u.distro(u.work, "v1.0.0")
	store := filepath.Join(u.work, "store")
	var mu sync.Mutex
	built := map[string]int{}
	digests := map[string]bool{}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			s, err := bundle.Open(store)
			if err != nil {
				t.Error(err)
				return
			}
			r, err := Build(t.Context(), s, Options{Distro: u.work, Platform: platform()})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			digests[r.Bundle.Digest] = true
			for _, b := range r.Built {
				if !b.Unchanged {
					built[b.Name]++
				}
			}
		})
	}
	wg.Wait()
	if len(digests) != 1 || built["one"] != 1 || built["many"] != 1 {
		t.Errorf("built %v, as %v", built, digests)
	}
	verifies(t, store)
}

func TestCheckRequirements(t *testing.T) {
	c := Component{name: "thing", Requires: Requirements{Programs: []string{"no-such-compiler"}, Libraries: []string{"no-such-library"}, Packages: []string{"thing-dev"}}}
	err := checkRequirements(t.Context(), []Component{c}, []tool{{"no-such-tool", "tool-dev"}}, t.TempDir())
	if err == nil {
		t.Fatal("nothing was missing")
	}
	for _, want := range []string{"the program no-such-compiler, for thing", "the static library no-such-library", "apt-get install --no-install-recommends thing-dev tool-dev"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// What a command starts ends with it, when it is interrupted.
func TestRunEndsAllThatItStarted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	file := filepath.Join(t.TempDir(), "pid")
	err := (toolchain{}).run(ctx, "/", false, nil, nil, "sh", "-c", `sleep 1000 & echo $! >"$0"; wait`, file)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("running: %v", err)
	}
	pid := strings.TrimSpace(read(t, file))
	// A process that was told to end may have to wait for its turn to do so.
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("process %s goes on: %s", pid, b)
		}
	}
}

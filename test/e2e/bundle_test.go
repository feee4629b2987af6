package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/bundle"
)

// The tests here use the bundles of the default store, which "make bundles" builds: compiling them is the longest part of all tests, and
// done once. bundles are those that there are, the newest first.
func bundles(t testing.TB) []bundle.Bundle {
	t.Helper()
	var list []bundle.Bundle
	if err := json.Unmarshal([]byte(must(t, kubewright, "bundle", "list", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("the store holds no bundle: run make bundles")
	}
	return list
}

// versions are those of Kubernetes that there are bundles for, the newest first.
func versions(t testing.TB) []string {
	t.Helper()
	var v []string
	for _, b := range bundles(t) {
		v = append(v, b.Kubernetes)
	}
	if len(v) < 2 {
		t.Fatalf("the store holds bundles for %q only: run make bundles", v)
	}
	return v
}

func showJSON(t *testing.T, args ...string) bundle.Bundle {
	t.Helper()
	var b bundle.Bundle
	if err := json.Unmarshal([]byte(must(t, kubewright, append([]string{"bundle", "show", "-o", "json"}, args...)...)), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// store is the directory of the default store.
func store(t testing.TB) string {
	t.Helper()
	m := regexp.MustCompile(`--store string .*\(default "(.*)"\)`).FindStringSubmatch(must(t, kubewright, "bundle", "list", "--help"))
	if m == nil {
		t.Fatal("the help does not name the default store")
	}
	return m[1]
}

// TestBundles looks at the bundles as a user does.
func TestBundles(t *testing.T) {
	list := must(t, kubewright, "bundle", "list")
	t.Log("\n" + list)
	if v := must(t, kubewright, "bundle", "verify"); !strings.Contains(v, " 0 missing or damaged") {
		t.Errorf("verify: %s", v)
	}
	for _, v := range versions(t) {
		if o := run(t, kubewright, "bundle", "build", "--kubernetes", v, "--distro", "../../distro"); o.code != 0 || !strings.Contains(o.stdout, ", 0 of ") {
			t.Errorf("a second build: %+v", o)
		}
		shown := must(t, kubewright, "bundle", "show", v)
		b := showJSON(t, v)
		if len(b.Parts) < 15 {
			t.Errorf("%s has only %d parts", v, len(b.Parts))
		}
		for _, p := range b.Parts {
			if p.Kind != bundle.Programs && !strings.Contains(shown, p.Name) {
				t.Errorf("show does not name %s:\n%s", p.Name, shown)
			}
			if p.Licences == "" || p.Source == "" || p.Choice == "" || p.Platform != "linux/amd64" || len(p.Blobs) == 0 {
				t.Errorf("part %s does not say what it is: %+v", p.Name, p)
			}
			for _, blob := range p.Blobs {
				if blob.Title == "" || p.Kind == bundle.Packages && blob.Licences == "" {
					t.Errorf("a blob of %s does not say what it is: %+v", p.Name, blob)
				}
			}
		}
		// The names that kubeadm of this version lists, but for the tags that the bundle says.
		root := t.TempDir()
		must(t, kubewright, "bundle", "unpack", v, "programs", root)
		for image := range strings.Lines(must(t, filepath.Join(root, "usr/local/bin/kubeadm"), "config", "images", "list", "--kubernetes-version", v)) {
			name, tag, _ := strings.Cut(strings.TrimSpace(image), ":")
			found := slices.IndexFunc(b.Parts, func(p bundle.Part) bool { return strings.HasPrefix(p.Name, name+":") })
			if found < 0 {
				t.Errorf("kubeadm of %s names %s, which the bundle lacks", v, image)
				continue
			}
			p := b.Parts[found]
			if p.Name != name+":"+tag && p.KubeadmTag != tag {
				t.Errorf("kubeadm of %s names %s; the bundle has %s and says that kubeadm names %q", v, strings.TrimSpace(image), p.Name, p.KubeadmTag)
			}
		}
	}
}

// TestBundleIsReadByOthers reads the store with a program that knows nothing of Kubewright.
func TestBundleIsReadByOthers(t *testing.T) {
	from := store(t)
	for i, v := range versions(t) {
		for _, p := range showJSON(t, v).Parts {
			if p.Kind != bundle.Image || i > 0 && !strings.HasSuffix(p.Name, ":"+v) {
				continue
			}
			var got struct{ Labels map[string]string }
			if err := json.Unmarshal([]byte(must(t, "skopeo", "inspect", "oci:"+from+":"+p.Name)), &got); err != nil {
				t.Fatal(err)
			}
			made := "Built by Kubewright from upstream's module"
			if p.Component == "approver" {
				made = "Kubewright's own"
			}
			if says := got.Labels["org.opencontainers.image.description"]; got.Labels["org.opencontainers.image.version"] != p.Version || !strings.Contains(says, made) {
				t.Errorf("%s: labels are %v", p.Name, got.Labels)
			}
			// It compares every blob with its digest.
			must(t, "skopeo", "copy", "--quiet", "oci:"+from+":"+p.Name, "dir:"+t.TempDir())
		}
	}
}

// user and entrypoint of images, as upstream has them.
func TestImagesRunAsUpstreams(t *testing.T) {
	from := store(t)
	for _, p := range showJSON(t).Parts {
		if p.Kind != bundle.Image {
			continue
		}
		var got struct {
			Config struct {
				User       string
				Entrypoint []string
			}
		}
		if err := json.Unmarshal([]byte(must(t, "skopeo", "inspect", "--config", "oci:"+from+":"+p.Name)), &got); err != nil {
			t.Fatal(err)
		}
		name := p.Name[strings.LastIndex(p.Name, "/")+1:]
		name, _, _ = strings.Cut(name, ":")
		want := map[string]string{"pause": "65535:65535", "coredns": "65532:65532", "kubewright-approver": "65532:65532", "metrics-server": "65534"}[name]
		if got.Config.User != want || len(got.Config.Entrypoint) != 1 {
			t.Errorf("%s runs %q as %q, not as %q", p.Name, got.Config.Entrypoint, got.Config.User, want)
		}
	}
}

// smallDistro is a copy of distro whose only release has few components, quick to build from nothing; packages only if "distributions" is one.
func smallDistro(t *testing.T, components ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "distro")
	if err := os.CopyFS(dir, os.DirFS("../../distro")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "v1.37.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	head, all, _ := strings.Cut(string(b), "components:\n")
	if !slices.Contains(components, "distributions") {
		head = regexp.MustCompile(`(?m)^distributions:.*\n`).ReplaceAllString(head, "")
	}
	kept := head + "components:\n"
	for _, block := range regexp.MustCompile(`(?m)^  \S+:\n(    .*\n)+`).FindAllString(all, -1) {
		if slices.Contains(components, strings.TrimSuffix(strings.TrimSpace(strings.SplitN(block, "\n", 2)[0]), ":")) {
			kept += block
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "v1.*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, "rm", old...)
	if err := os.WriteFile(filepath.Join(dir, "v1.37.yaml"), []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBuildIsReproducible builds real components twice, the second time with nothing compiled yet and from another directory: of Go alone, of Go
// and C linked with the computer's libraries, and an image with layers of packages, which are collected anew for both.
func TestBuildIsReproducible(t *testing.T) {
	var digests []string
	for _, cache := range []string{"", t.TempDir()} {
		distro := smallDistro(t, "distributions", "cni", "flannel", "runc")
		to := filepath.Join(t.TempDir(), "store")
		build := exec.CommandContext(t.Context(), kubewright, "bundle", "build", "--distro", distro, "--store", to)
		build.Env = os.Environ()
		if cache != "" {
			build.Env = append(build.Env, "GOCACHE="+cache)
		}
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b := showJSON(t, "--store", to)
		if len(b.Parts) != 4 {
			t.Fatalf("built were %+v", b.Parts)
		}
		digests = append(digests, b.Digest)
		// The same as when all was built.
		whole := map[string]string{}
		for _, p := range showJSON(t).Parts {
			whole[p.Name] = p.Digest
		}
		for _, p := range b.Parts {
			if p.Kind == bundle.Programs && p.Digest != whole[p.Name] {
				t.Errorf("%s is %s now, and was %s", p.Name, p.Digest, whole[p.Name])
			}
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds gave %q", digests)
	}
}

// TestExportedBundle carries a bundle through a file, and through a pipe that breaks.
func TestExportedBundle(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bundle.tar.zst")
	v := versions(t)[0]
	t.Log(must(t, kubewright, "bundle", "export", v, "--file", file))
	to := filepath.Join(dir, "store")
	if o := run(t, "sh", "-c", `head -c 100000000 "$1" | "$2" bundle import - --store "$3"`, "sh", file, kubewright, to); o.code != 1 || !strings.Contains(o.stderr, "ends too early") {
		t.Errorf("importing part of a file: %+v", o)
	}
	must(t, kubewright, "bundle", "verify", "--store", to)
	if o := run(t, kubewright, "bundle", "show", v, "--store", to); o.code != 1 || !strings.Contains(o.stderr, "does not hold a bundle") {
		t.Errorf("a part of a bundle is shown: %+v", o)
	}
	t.Log(must(t, kubewright, "bundle", "import", file, "--store", to))
	if got := must(t, kubewright, "bundle", "verify", "--store", to); !strings.Contains(got, "1 bundle, ") {
		t.Errorf("after the import: %s", got)
	}
	if showJSON(t, v, "--store", to).Digest != showJSON(t, v).Digest {
		t.Error("the bundle is another after the import")
	}
	if o := run(t, kubewright, "bundle", "prune", "--store", to); o.code != 0 || !strings.Contains(o.stdout, "is needed") {
		t.Errorf("something of the interrupted import is left: %+v", o)
	}

	// Damage is named, with what it breaks, and mended by importing again.
	b := showJSON(t, v, "--store", to)
	broken := b.Parts[slices.IndexFunc(b.Parts, func(p bundle.Part) bool { return strings.Contains(p.Name, "kube-proxy") })]
	for _, blob := range broken.Blobs {
		must(t, "truncate", "--size=-1", filepath.Join(to, "blobs", "sha256", blob.Digest.Hex))
	}
	o := run(t, kubewright, "bundle", "verify", "--store", to)
	if o.code != 1 || !strings.Contains(o.stdout, "image "+broken.Name+", netfilter") || !strings.Contains(o.stdout, "programs kubernetes") || !strings.Contains(o.stderr, "import") {
		t.Errorf("verifying a damaged store: %+v", o)
	}
	must(t, kubewright, "bundle", "import", file, "--store", to)
	must(t, kubewright, "bundle", "verify", "--store", to)

	if o := run(t, kubewright, "bundle", "prune", v, "--store", to); o.code != 2 || !strings.Contains(o.stderr, "--yes") {
		t.Errorf("pruning a bundle without being asked: %+v", o)
	}
	must(t, kubewright, "bundle", "prune", v, "--store", to, "--yes")
	if left := must(t, "find", filepath.Join(to, "blobs"), "-type", "f"); left != "" {
		t.Errorf("left after all bundles went:\n%s", left)
	}
}

// TestBuildFailsWell takes away, one by one, what a build needs.
func TestBuildFailsWell(t *testing.T) {
	distro := smallDistro(t, "cni", "runc")
	fails := func(store string, env []string, path string, want ...string) {
		t.Helper()
		build := exec.CommandContext(t.Context(), kubewright, "bundle", "build", "--distro", distro, "--store", store)
		build.Env = append(os.Environ(), env...)
		if path != "" {
			build.Env = append(build.Env, "PATH="+path)
		}
		out, err := build.CombinedOutput()
		if err == nil {
			t.Errorf("with %q the build did not fail", env)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("with %q the build does not say %q:\n%s", env, w, out)
			}
		}
		if _, err := os.Stat(store); err == nil {
			must(t, kubewright, "bundle", "verify", "--store", store)
		}
	}
	// A computer with Go and nothing else.
	bare := t.TempDir()
	goroot := strings.TrimSpace(must(t, "go", "env", "GOROOT"))
	must(t, "ln", "-s", filepath.Join(goroot, "bin", "go"), bare)
	fails(filepath.Join(t.TempDir(), "store"), nil, bare, "the program gcc, for runc\n", "the program pkg-config, for runc\n", "apt-get install --no-install-recommends gcc libc6-dev libseccomp-dev pkg-config")
	fails(filepath.Join(t.TempDir(), "store"), nil, t.TempDir(), "install Go 1.26")

	// A proxy that is not there, and no modules yet.
	fails(filepath.Join(t.TempDir(), "store"), []string{"GOPROXY=http://127.0.0.1:1", "GOMODCACHE=" + t.TempDir(), "GOFLAGS="}, "", "cni: ", "127.0.0.1:1", "What to do: a module cannot be had")

	// Full disks: of the store, and of the compiler's cache.
	for what, size := range map[string]string{"store": "2m", "cache": "8m"} {
		small := t.TempDir()
		must(t, "mount", "-t", "tmpfs", "-o", "size="+size, "kubewright-e2e", small)
		t.Cleanup(func() { must(t, "umount", small) })
		if what == "store" {
			fails(filepath.Join(small, "store"), nil, "", "no room", "the store ("+small, "kubewright bundle prune")
		} else {
			fails(filepath.Join(t.TempDir(), "store"), []string{"GOCACHE=" + small}, "", "no room", "GOCACHE ("+small)
		}
	}
}

// TestKilledBundle kills commands that change a store at many points. The store must verify after each, and the next run must go on.
func TestKilledBundle(t *testing.T) {
	distro := smallDistro(t, "cni", "crictl")
	dir := t.TempDir()
	to := filepath.Join(dir, "store")
	file := filepath.Join(dir, "bundle.tar.zst")
	other := filepath.Join(dir, "other")
	v := versions(t)[0]
	build := []string{"bundle", "build", "--distro", distro, "--store", to}
	killed := 0
	kill := func(store string, after string, args ...string) {
		t.Helper()
		o := run(t, "timeout", append([]string{"--signal=KILL", after, kubewright}, args...)...)
		if o.code == -1 || o.code == 137 { // timeout ends by its own signal, or says so
			killed++
		}
		if _, err := os.Stat(store); err == nil {
			must(t, kubewright, "bundle", "verify", "--store", store)
		}
	}
	for i := range 12 {
		kill(to, fmt.Sprintf("%.2f", 0.05+float64(i)*0.25), build...)
		if i%4 == 3 {
			must(t, kubewright, "bundle", "prune", "--yes", "--store", to)
		}
	}
	must(t, kubewright, build...)
	if o := run(t, kubewright, build...); o.code != 0 || !strings.Contains(o.stdout, ", 0 of 2 ") {
		t.Errorf("the last build: %+v", o)
	}
	must(t, kubewright, "bundle", "verify", "--store", to)

	for i := range 6 {
		kill(to, fmt.Sprintf("%.2f", 0.05+float64(i)*0.1), "bundle", "export", v, "--file", file)
		if _, err := os.Stat(file); err == nil {
			break // it was quicker than the kill
		}
	}
	must(t, kubewright, "bundle", "export", v, "--file", file)
	for i := range 8 {
		kill(other, fmt.Sprintf("%.2f", 0.02+float64(i)*0.08), "bundle", "import", file, "--store", other)
		kill(other, fmt.Sprintf("%.3f", 0.002+float64(i)*0.002), "bundle", "prune", "--yes", "--store", other)
	}
	must(t, kubewright, "bundle", "import", file, "--store", other)
	must(t, kubewright, "bundle", "verify", "--store", other)
	must(t, kubewright, "bundle", "prune", "--yes", "--store", other)
	if showJSON(t, v, "--store", other).Digest != showJSON(t, v).Digest {
		t.Error("the bundle is another after the kills")
	}
	if killed < 10 {
		t.Errorf("only %d commands were killed; the others were quicker", killed)
	}
	t.Logf("%d commands were killed", killed)
}

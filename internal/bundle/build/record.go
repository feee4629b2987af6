package build

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/internal/bundle"
)

// A note is what a store remembers of something built: under a key of all that went into it, what came of it. It holds as long as its
// blobs do.
type note interface {
	// blobs are the digests and sizes in bytes of what was built.
	blobs() map[v1.Hash]int64
}

// record is a built component.
type record struct {
	Source    string                   `json:"source"`        // "k8s.io/kubernetes v1.37.1"
	Sum       string                   `json:"sum,omitempty"` // of the source, as in go.sum
	Toolchain string                   `json:"toolchain"`
	Programs  map[string]programRecord `json:"programs"`
}

type programRecord struct {
	Layer
	Path string `json:"path"`
}

func (r record) blobs() map[v1.Hash]int64 {
	all := map[v1.Hash]int64{}
	for _, p := range r.Programs {
		all[p.Digest] = p.Size
	}
	return all
}

// noteName is the name of a note's file, which tells people what it is of.
func noteName(name, key string) string { return name + "-" + key + ".json" }

// recall reads a note, and says whether it is there and all of its blobs are, undamaged.
func recall(store *bundle.Store, name, key string, n note) (bool, error) {
	b, err := os.ReadFile(filepath.Join(store.Builds(), noteName(name, key)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, n); err != nil {
		return false, nil // it is built again
	}
	for h, size := range n.blobs() {
		if store.Check(h, size) != nil {
			return false, nil
		}
	}
	return true, nil
}

// remember writes a note.
func remember(store *bundle.Store, name, key string, n note) error {
	b, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteNote(noteName(name, key), b)
}

// layoutVersion changes when the same inputs are made into something else by this package.
const layoutVersion = 2

// compressor is the version of what compresses layers: another one may give other digests.
func compressor() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/klauspost/compress" {
				return d.Version
			}
		}
	}
	return ""
}

// key is a digest of all that goes into a component: what is declared, what is pinned, and what compiles it.
func (c Component) key(t toolchain) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, layoutVersion, compressor(), c.name, t.goos, t.goarch, t.version, compileFlags, linkFlags)
	fmt.Fprintf(sum, "%s %s %s\n", c.version.Version, c.version.commit(), c.version.Date.UTC())
	if len(c.Requires.Programs) > 0 {
		fmt.Fprintln(sum, t.cc, libraryVersions(c.Requires.Packages))
	}
	add := func(name, file string) error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(b))
		sum.Write(b)
		return nil
	}
	sources, err := sources(c.dir)
	if err != nil {
		return "", err
	}
	for _, name := range sources {
		if err := add(name, filepath.Join(c.dir, name)); err != nil {
			return "", err
		}
	}
	for _, f := range []string{filepath.Join(c.dir, "component.yaml"), c.pin.mod, c.pin.sum()} {
		if err := add(filepath.Base(f), f); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// sources are the files of Go in a component's directory and below it, without tests.
func sources(dir string) ([]string, error) {
	var list []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			list = append(list, name)
		}
		return err
	})
	return list, err
}

// libraryVersions are the versions of installed packages that are linked in, as far as Debian's package manager knows them.
func libraryVersions(packages []string) string {
	const status = "/var/lib/dpkg/status"
	f, err := os.Open(status)
	if err != nil {
		return ""
	}
	defer f.Close()
	var found []string
	current := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "Package: "); ok {
			current = name
		}
		for _, p := range packages {
			if current == p && strings.HasPrefix(lines.Text(), "Version: ") {
				found = append(found, p+" "+lines.Text())
			}
		}
	}
	return strings.Join(found, "\n")
}

// sourceSum is the digest of upstream's module in go.sum; empty for what is Kubewright's own.
func (c Component) sourceSum() (string, error) {
	if c.pin.own {
		return "", nil
	}
	file := c.pin.sum()
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == c.Module && f[1] == c.pin.version {
			return f[2], nil
		}
	}
	return "", invalid("%s has no sum of %s %s", file, c.Module, c.pin.version)
}

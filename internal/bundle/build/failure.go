package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/docker/go-units"
)

// A remedy goes with what a tool says when something common is wrong.
var remedies = []struct {
	says   *regexp.Regexp
	remedy string
}{
	{regexp.MustCompile(`SECURITY ERROR|checksum mismatch`),
		"a module is not what go.sum pins: somebody or something between here and upstream changes it. Don't go on; find out what GOPROXY (go env GOPROXY) serves"},
	{regexp.MustCompile(`missing go\.sum entry|updates to go\.mod needed`),
		"go.mod and go.sum of the component don't fit each other: run go mod tidy there (with -modfile for VERSION.mod) and commit what changes"},
	{regexp.MustCompile(`dial tcp|no such host|i/o timeout|connection refused|TLS handshake|proxyconnect|\b(40[0-9]|41[0-9]|50[0-9]) [A-Z]|disabled by GOPROXY|module lookup disabled|unrecognized import path`),
		"a module cannot be had: is the module proxy reachable (go env GOPROXY), and does it have this version? Without internet, build elsewhere and carry the bundle here with \"kubewright bundle export\" and \"import\""},
	{regexp.MustCompile(`(gcc|cc|clang)": executable file not found|C compiler .* not found|cc1: .*not found|collect2`),
		"a C compiler or a library for it is missing. On Debian: apt-get install --no-install-recommends gcc libc6-dev libseccomp-dev pkg-config"},
	{regexp.MustCompile(`pkg-config.*not found|was not found in the pkg-config search path|fatal error: .*\.h: No such file|cannot find -l`),
		"a library for C is missing. On Debian: apt-get install --no-install-recommends gcc libc6-dev libseccomp-dev pkg-config"},
	{regexp.MustCompile(`go\.mod requires go >= |go: download go1\.`),
		"this Go is too old for upstream's source: install the version it asks for, or allow the go command to fetch it (go env -w GOTOOLCHAIN=auto)"},
	{regexp.MustCompile(`signal: killed|cannot allocate memory`),
		"a compiler was killed, most likely for want of memory: linking Kubernetes takes 4 GB"},
	{regexp.MustCompile(`Failed to fetch|Could not resolve|Temporary failure resolving|Unable to locate package|is not signed|NO_PUBKEY`),
		"packages cannot be had from the sources in /etc/apt: apt-get update says more"},
}

// explain adds to a failed command the end of what it said, and what to do about it where that is known.
func explain(err error, said []string) error {
	if errors.Is(err, exec.ErrNotFound) {
		var missing *exec.Error
		if errors.As(err, &missing) && missing.Name == "go" {
			return fmt.Errorf("there is no go command: install Go 1.26 or later (https://go.dev/doc/install) and have it in PATH: %w", err)
		}
		return fmt.Errorf("%w: install it, or have it in PATH", err)
	}
	text := strings.Join(said, "\n")
	if isNoSpace(text) {
		return fmt.Errorf("%w: %w\n%s", err, errNoSpace, text)
	}
	for _, r := range remedies {
		if r.says.MatchString(text) {
			return fmt.Errorf("%w\n%s\nWhat to do: %s", err, text, r.remedy)
		}
	}
	return fmt.Errorf("%w\n%s", err, text)
}

func isNoSpace(text string) bool {
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "No space left on device") || strings.Contains(text, "disk quota exceeded")
}

// room says which of the directories that a build writes to are full, if that is what an error is about.
func (b *builder) room(ctx context.Context, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) && !errors.Is(err, errNoSpace) {
		return err
	}
	dirs := []struct{ what, dir, change string }{
		{"the store", b.store.Dir(), "--store"},
		{"temporary files", os.TempDir(), "TMPDIR"},
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		if out, err := b.tools.output(ctx, b.distro, "go", "env", name); err == nil {
			dirs = append(dirs, struct{ what, dir, change string }{"the go command's " + name, strings.TrimSpace(string(out)), name})
		}
	}
	var said strings.Builder
	for _, d := range dirs {
		if free, ok := freeBytes(d.dir); ok {
			fmt.Fprintf(&said, "\n  %s (%s): %s free; elsewhere with %s", d.what, d.dir, units.BytesSize(float64(free)), d.change)
		}
	}
	return fmt.Errorf("no room: %w\nA whole build takes about 10 GB of caches and 1 GB of store.%s\n"+
		"Make room and run it again: it goes on from there. \"kubewright bundle prune\" and \"go clean -cache\" may help", err, said.String())
}

// freeBytes is the room on the file system of a directory or, if it does not exist, of what is above it.
func freeBytes(dir string) (uint64, bool) {
	for {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err == nil {
			return st.Bavail * uint64(st.Bsize), true
		}
		if dir == filepath.Dir(dir) {
			return 0, false
		}
		dir = filepath.Dir(dir)
	}
}

package build

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/internal/bundle"
)

// A remedy goes with what a tool says when something common is wrong, a regular expression.
var remedies = []struct{ says, remedy string }{
	{`SECURITY ERROR|checksum mismatch`,
		"a module is not what go.sum pins: somebody or something between here and upstream changes it. Don't go on; find out what GOPROXY (go env GOPROXY) serves"},
	{`missing go\.sum entry|updates to go\.mod needed`,
		"go.mod and go.sum of the component don't fit each other: run go mod tidy there (with -modfile for VERSION.mod) and commit what changes"},
	{`dial tcp|no such host|i/o timeout|connection refused|TLS handshake|proxyconnect|\b(40[0-9]|41[0-9]|50[0-9]) [A-Z]|disabled by GOPROXY|module lookup disabled|unrecognized import path`,
		"a module cannot be had: is the module proxy reachable (go env GOPROXY), and does it have this version? Without internet, build elsewhere and carry the bundle here with \"kubewright bundle export\" and \"import\""},
	{`signal: killed|terminated with signal 9|cannot allocate memory`,
		"a compiler was killed, most likely for want of memory: linking Kubernetes takes 4 GB"},
	{`(gcc|cc|clang)": executable file not found|C compiler .* not found|cc1: .*not found|collect2`,
		"a C compiler or a library for it is missing. On Debian: apt-get install --no-install-recommends gcc libc6-dev libseccomp-dev pkg-config"},
	{`pkg-config.*not found|was not found in the pkg-config search path|fatal error: .*\.h: No such file|cannot find -l`,
		"a library for C is missing. On Debian: apt-get install --no-install-recommends gcc libc6-dev libseccomp-dev pkg-config"},
	{`go\.mod requires go >= |go: download go1\.`,
		"this Go is too old for upstream's source: install the version it asks for, or allow the go command to fetch it (go env -w GOTOOLCHAIN=auto)"},
	{`Failed to fetch|Could not resolve|Temporary failure resolving|Unable to locate package|is not signed|NO_PUBKEY`,
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
		return fmt.Errorf("%w: %w\n%s", err, syscall.ENOSPC, text)
	}
	for _, r := range remedies {
		if regexp.MustCompile(r.says).MatchString(text) {
			return fmt.Errorf("%w\n%s\nWhat to do: %s", err, text, r.remedy)
		}
	}
	return fmt.Errorf("%w\n%s", err, text)
}

func isNoSpace(text string) bool {
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "No space left on device") || strings.Contains(text, "disk quota exceeded")
}

// explainRoom says which of the directories that a build writes to are full, if that is what an error is about.
func (b *builder) explainRoom(err error) error {
	return bundle.ExplainRoom(err, "A whole build takes about 10 GB of caches and 1 GB of store.",
		bundle.Place{What: "the store", Dir: b.store.Dir(), Elsewhere: "--store"},
		bundle.Place{What: "the go command's GOCACHE", Dir: b.tools.settings["GOCACHE"], Elsewhere: "GOCACHE; go clean -cache empties it"},
		bundle.Place{What: "the go command's GOMODCACHE", Dir: b.tools.settings["GOMODCACHE"], Elsewhere: "GOMODCACHE"})
}

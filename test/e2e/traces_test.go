package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/machines"
)

// traces is what machines could leave on this computer, a line each.
func traces(t *testing.T) []string {
	t.Helper()
	var all []string
	add := func(kind, text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, kind+": "+line)
			}
		}
	}
	file := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(content)
	}
	for line := range strings.Lines(file("/proc/self/mountinfo")) {
		add("mount", strings.Join(strings.Fields(line)[3:5], " ")) // the numbers before them are given anew
	}
	add("link", must(t, "ip", "-o", "-br", "link"))
	add("address", must(t, "ip", "-o", "-br", "address"))
	add("route", must(t, "ip", "route", "show", "table", "all"))
	add("rule", must(t, "ip", "rule"))
	add("namespace", must(t, "ip", "netns"))
	add("firewall", must(t, "nft", "--stateless", "list", "ruleset"))
	add("swap", file("/proc/swaps"))

	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range loops {
		add("loop device", file(l))
	}
	for _, pattern := range []string{
		"/sys/fs/cgroup/kubewright*", "/sys/fs/cgroup/*/kubewright*", "/sys/fs/cgroup/kubewright/*", "/sys/fs/cgroup/*/kubewright/*",
		machines.DefaultStateDir + "/*", machines.DefaultStateDir + "/*/*", machines.DefaultStateDir + "/*/machines/*",
		"/run/netns/*", "/run/systemd/nspawn/*", "/run/machine*", "/tmp/*rootfs*", "/tmp/mmdebstrap*",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if filepath.Base(path) != ".lock" { // orders who may take an address range; it stays
				add("file", path)
			}
		}
	}

	add("process", ourProcesses(t))
	slices.Sort(all)
	return all
}

// ourProcesses lists processes that come of local machines: in one of their control groups, or with a telling name.
func ourProcesses(t *testing.T) string {
	t.Helper()
	var found strings.Builder
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		groups, _ := os.ReadFile(dir + "/cgroup") // empty where it ended
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		if len(cmdline) == 0 {
			continue // part of the kernel, or ending
		}
		words := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		if strings.Contains(string(groups), "/kubewright/") || slices.Contains([]string{"systemd-nspawn", "mmdebstrap", "unshare"}, filepath.Base(words[0])) ||
			words[0] == kubewright {
			fmt.Fprintf(&found, "%s %s\n", filepath.Base(dir), strings.Join(words, " "))
		}
	}
	return found.String()
}

// noTraces waits until everything is as it was before; the kernel takes a moment to end namespaces.
func noTraces(t *testing.T, before []string) {
	t.Helper()
	wait(t, "everything to be as before", func(context.Context) error {
		after := traces(t)
		var differences []string
		for _, line := range after {
			if !slices.Contains(before, line) {
				differences = append(differences, "left: "+line)
			}
		}
		for _, line := range before {
			if !slices.Contains(after, line) {
				differences = append(differences, "lost: "+line)
			}
		}
		if len(differences) > 0 {
			return fmt.Errorf("\n%s", strings.Join(differences, "\n"))
		}
		return nil
	})
}

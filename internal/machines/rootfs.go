package machines

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

//go:embed rootfs.sh
var rootfsScript string

// rootfsPackages is a minimal server: what Debian's installer puts on a machine without any task but "SSH server".
var rootfsPackages = []string{
	"ca-certificates", "dbus", "iproute2", "iputils-ping", "kmod", "less", "libpam-systemd", "nftables", "openssh-server", "procps",
	"sudo", "systemd", "systemd-sysv", "tzdata",
}

const rootfsRelease = "bookworm"

// packages are those of the set's root file system, sorted.
func (s *Set) packages() []string {
	all := slices.Concat(rootfsPackages, s.config.Packages)
	slices.Sort(all)
	return slices.Compact(all)
}

// rootfsKind begins the names of those root file systems that one for this set takes the place of: a set with packages of its own leaves
// the one for all other sets in the cache.
func (s *Set) rootfsKind() string {
	if len(s.config.Packages) > 0 {
		return "rootfs+"
	}
	return "rootfs-"
}

// rootfsName changes whenever what is built would.
func (s *Set) rootfsName() string {
	sum := sha256.Sum256([]byte(rootfsRelease + "\n" + strings.Join(s.packages(), ",") + "\n" + rootfsScript))
	return fmt.Sprintf("%s%s-%s-%x", s.rootfsKind(), rootfsRelease, runtime.GOARCH, sum[:6])
}

func (s *Set) rootfsPath(name string) string { return filepath.Join(s.config.CacheDir, name) }

// ensureRootFS builds the root file system that new machines start from, unless it is in the cache, and returns its name.
// It is built beside its place by Debian's own packages from the sources that this computer is configured with, and moved there
// when complete.
func (s *Set) ensureRootFS(ctx context.Context) (string, error) {
	name := s.rootfsName()
	path := s.rootfsPath(name)
	if _, err := os.Stat(path); err == nil {
		return name, nil
	}
	// For root alone: it holds programs that run as root for whoever starts them, and that nobody updates.
	if err := errors.Join(os.MkdirAll(s.config.CacheDir, 0o700), os.Chmod(s.config.CacheDir, 0o700)); err != nil {
		return "", err
	}
	release, err := s.lockFile(ctx, filepath.Join(s.config.CacheDir, "rootfs.lock"), "the root file system of machines")
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(path); err == nil {
		return name, nil // the one that we waited for built it
	}
	if err := s.dropStaleRootFS(name); err != nil {
		return "", err
	}
	start := time.Now()
	s.config.Progress("", "building the root file system of machines, once (about 20 s with a near package source)")
	unfinished := path + unfinishedSuffix
	if err := s.debootstrap(ctx, unfinished); err != nil {
		return "", err
	}
	if err := syncFS(unfinished); err != nil {
		return "", err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return "", err
	}
	s.config.Progress("", fmt.Sprintf("root file system built in %s: %s", time.Since(start).Round(time.Second), path))
	return name, nil
}

const unfinishedSuffix = ".unfinished"

// dropStaleRootFS removes what an interrupted build left, and older root file systems of the same kind that no machine of any set is
// installed from. The caller holds the lock of the cache.
func (s *Set) dropStaleRootFS(current string) error {
	used := []string{current}
	files, err := filepath.Glob(filepath.Join(s.config.StateDir, "*", "machines", "*", "machine.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		var m machine
		if err := readJSON(f, &m); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		used = append(used, m.RootFS)
	}
	found, err := filepath.Glob(filepath.Join(s.config.CacheDir, s.rootfsKind()+"*"))
	if err != nil {
		return err
	}
	for _, dir := range found {
		if slices.Contains(used, filepath.Base(dir)) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// packageSources is the file with the Debian sources that this computer is configured with.
func packageSources() (string, error) {
	candidates := []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"}
	for _, file := range candidates {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("this computer has no Debian package sources in %s; the root file system of machines is built from them", strings.Join(candidates, " or "))
}

// debootstrap runs mmdebstrap in mount and PID namespaces of its own, so that its mounts and whatever it started end with
// it, and it with this process.
func (s *Set) debootstrap(ctx context.Context, dir string) error {
	sources, err := packageSources()
	if err != nil {
		return err
	}
	// Beside it, where the next build finds what a killed one left.
	work := dir + ".work"
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	script := filepath.Join(work, "rootfs.sh")
	if err := os.WriteFile(script, []byte(rootfsScript), 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"mmdebstrap", "--mode=root", "--variant=minbase", "--include="+strings.Join(s.packages(), ","),
		"--customize-hook="+script, rootfsRelease, dir, sources)
	cmd.Env = append(os.Environ(), "TMPDIR="+work)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var last []string // the end of what it said
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = append(last[max(0, len(last)-19):], lines.Text())
			if step, ok := strings.CutPrefix(lines.Text(), "I: "); ok {
				s.config.Progress("", "root file system: "+step)
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	// The signal comes when the thread that started the command ends, so the goroutine keeps its thread until then.
	runtime.LockOSThread()
	err = cmd.Run()
	runtime.UnlockOSThread()
	w.Close()
	<-read
	if err != nil {
		return fmt.Errorf("building the root file system of machines with mmdebstrap failed (are the package sources in /etc/apt reachable? apt-get update tells): %w\n%s", err, strings.Join(last, "\n"))
	}
	return nil
}

package machines

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/ssh"
)

// Where sets and the root file systems they are installed from are kept.
const (
	DefaultStateDir = "/var/lib/kubewright-machines"
	DefaultCacheDir = "/var/cache/kubewright"
)

// Config says which set and where.
type Config struct {
	Name     string // of the set
	StateDir string // DefaultStateDir where empty; machines run from there only, another is for tests of what is on disk
	CacheDir string // DefaultCacheDir where empty
	// Program is the kubewright binary; machines are run and booted by it. It is this process's own where empty, which
	// is wrong for a test.
	Program string
	// Packages of Debian that machines have besides those of a minimal server. They are not remembered: whoever makes or resets machines
	// of the set says them.
	Packages []string
	// Progress is told what happens, to whom ("" is the set); it may be called from several goroutines. May be nil.
	Progress func(machine, message string)
}

// Set is a set of machines. Its methods may be called from several goroutines and processes; those that change something
// wait for each other.
type Set struct {
	config Config

	mu      sync.Mutex
	clients map[string]*ssh.Client
}

// state is what is remembered of a set: the content of its set.json.
type state struct {
	Subnet subnet      `json:"subnet"`
	Cuts   [][2]string `json:"cuts,omitempty"` // pairs of machines that cannot reach each other, sorted; "*" is everybody
}

// Open returns the set of that name; it need not exist yet. Close it after use.
func Open(c Config) (*Set, error) {
	if err := checkName("set", c.Name); err != nil {
		return nil, err
	}
	if c.StateDir == "" {
		c.StateDir = DefaultStateDir
	}
	if c.CacheDir == "" {
		c.CacheDir = DefaultCacheDir
	}
	if c.Program == "" {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		c.Program = program
	}
	for _, dir := range []*string{&c.StateDir, &c.CacheDir} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return nil, err
		}
		*dir = abs
	}
	if c.Progress == nil {
		c.Progress = func(string, string) {}
	}
	return &Set{config: c, clients: map[string]*ssh.Client{}}, nil
}

// Close ends the connections to machines that Run made; the machines go on.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, client := range s.clients {
		client.Close()
		delete(s.clients, name)
	}
}

// Name is that of the set.
func (s *Set) Name() string { return s.config.Name }

// SSHConfig is the file that lets ssh, scp and others reach the machines by name: ssh -F FILE NAME.
func (s *Set) SSHConfig() string { return filepath.Join(s.dir(), "ssh_config") }

// KnownHosts is the file with the host keys of the machines, by address.
func (s *Set) KnownHosts() string { return filepath.Join(s.dir(), "known_hosts") }

// IdentityFile is the private key that opens root and every user of the machines.
func (s *Set) IdentityFile() string { return filepath.Join(s.dir(), "id_ed25519") }

func (s *Set) dir() string { return filepath.Join(s.config.StateDir, s.config.Name) }

// Files of a set that are there from its first moment on.
const (
	setFile  = "set.json"
	lockName = "lock"
)

// checkDir returns an error unless the set's directory is that of a set, or of one that was not finished.
func (s *Set) checkDir() error {
	entries, err := os.ReadDir(s.dir())
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == setFile }) {
		return nil
	}
	for _, e := range entries {
		// renameio writes beside, with a dot before the name.
		if e.Name() != lockName && !strings.HasPrefix(e.Name(), "."+setFile) {
			return fmt.Errorf("%s is not a set of machines: it has no %s, but holds %s; nothing was touched", s.dir(), setFile, e.Name())
		}
	}
	return nil
}

// removeDir removes the set's directory: what makes it a set, and the lock, at the end.
func (s *Set) removeDir() error {
	entries, err := os.ReadDir(s.dir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == setFile || e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir(), e.Name())); err != nil {
			return err
		}
	}
	for _, path := range []string{filepath.Join(s.dir(), setFile), filepath.Join(s.dir(), lockName), s.dir()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Names lists the sets below a state directory (DefaultStateDir where empty).
func Names(stateDir string) ([]string, error) {
	if stateDir == "" {
		stateDir = DefaultStateDir
	}
	found, err := filepath.Glob(filepath.Join(stateDir, "*", setFile))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names, nil
}

func (s *Set) load() (state, error) {
	var st state
	err := readJSON(filepath.Join(s.dir(), setFile), &st)
	if errors.Is(err, fs.ErrNotExist) {
		return st, noSetError{s.config.Name}
	}
	return st, err
}

type noSetError struct{ name string }

func (e noSetError) Error() string {
	return fmt.Sprintf("there is no set of machines %q; make one: kubewright machines up --set %s", e.name, e.name)
}

func (s *Set) save(st state) error { return writeJSON(filepath.Join(s.dir(), setFile), st) }

// machines lists what was ordered, by index.
func (s *Set) machines() ([]machine, error) {
	files, err := filepath.Glob(s.machineFile("*", "machine.json"))
	if err != nil {
		return nil, err
	}
	var all []machine
	for _, f := range files {
		var m machine
		err := readJSON(f, &m)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed while we looked
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b machine) int { return a.Index - b.Index })
	return all, nil
}

// pick returns the named machines, or all without names.
func (s *Set) pick(names []string) ([]machine, error) {
	if _, err := s.load(); err != nil {
		return nil, err
	}
	all, err := s.machines()
	if err != nil || len(names) == 0 {
		return all, err
	}
	var picked []machine
	var unknown []string
	for _, name := range names {
		i := slices.IndexFunc(all, func(m machine) bool { return m.Name == name })
		if i < 0 {
			unknown = append(unknown, name)
			continue
		}
		picked = append(picked, all[i])
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("set %s has no machine %s; kubewright machines list --set %s shows what there is", s.config.Name, strings.Join(unknown, ", "), s.config.Name)
	}
	return picked, nil
}

// List returns what the machines are now, or nothing where there is no set. It waits for nobody.
func (s *Set) List() ([]Status, error) {
	st, err := s.load()
	if errors.As(err, &noSetError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := s.machines()
	if err != nil {
		return nil, err
	}
	var list []Status
	for _, m := range all {
		status := Status{Name: m.Name, Address: st.Subnet.machine(m.Index), Hardware: m.Hardware, LinkRate: m.LinkRate, State: Stopped, CutFrom: cutFrom(st.Cuts, m.Name)}
		running, err := s.running(m.Name)
		if err != nil {
			return nil, err
		}
		if running {
			status.State = Running
		}
		if status.DiskUsed, err = sizeOnDisk(s.diskFile(m.Name)); err != nil {
			return nil, err
		}
		list = append(list, status)
	}
	return list, nil
}

func (s *Set) running(name string) (bool, error) {
	g, err := s.cgroup(name)
	if err != nil {
		return false, err
	}
	return g.sub(payload).populated()
}

// lock waits until nobody else changes the set, and makes its directory. The returned function lets others go on.
func (s *Set) lock(ctx context.Context) (func(), error) {
	for {
		if err := os.MkdirAll(s.dir(), 0o700); err != nil {
			return nil, err
		}
		if err := s.checkDir(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		path := filepath.Join(s.dir(), lockName)
		release, err := s.lockFile(ctx, path, "the set "+s.config.Name)
		if err != nil {
			return nil, err
		}
		// The one before may have removed the set, and the file that we hold with it.
		if _, err := os.Stat(path); err == nil {
			return release, nil
		}
		release()
	}
}

// lockFile takes a lock that ends with the process at the latest. Whoever holds it writes its process ID into the file.
func (s *Set) lockFile(ctx context.Context, path, what string) (func(), error) {
	l := flock.New(path)
	held, err := l.TryLock()
	if err == nil && !held {
		holder, _ := os.ReadFile(path)
		s.config.Progress("", fmt.Sprintf("waiting for process %s, which is changing %s", strings.TrimSpace(string(holder)), what))
		held, err = l.TryLockContext(ctx, 50*time.Millisecond)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil // the directory went away: the caller looks again
	}
	if err != nil || !held {
		return nil, fmt.Errorf("locking %s (%s): %w", what, path, err)
	}
	// Where the directory went away while we waited, the caller looks again.
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = l.Unlock()
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// claimSubnet chooses the address range of a new set, together with all other sets of this computer.
func (s *Set) claimSubnet(ctx context.Context) (state, error) {
	if st, err := s.load(); !errors.As(err, &noSetError{}) {
		return st, err
	}
	release, err := s.lockFile(ctx, filepath.Join(s.config.StateDir, ".lock"), "the address ranges")
	if err != nil {
		return state{}, err
	}
	defer release()
	taken, err := s.takenPrefixes()
	if err != nil {
		return state{}, err
	}
	n, err := chooseSubnet(taken)
	if err != nil {
		return state{}, err
	}
	st := state{Subnet: n}
	return st, s.save(st)
}

func (s *Set) takenPrefixes() ([]netip.Prefix, error) {
	var taken []netip.Prefix
	others, err := Names(s.config.StateDir)
	if err != nil {
		return nil, err
	}
	for _, name := range others {
		var st state
		err := readJSON(filepath.Join(s.config.StateDir, name, setFile), &st)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed while we looked
		}
		if err != nil {
			return nil, err
		}
		taken = append(taken, st.Subnet.prefix())
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("reading this computer's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			bits, _ := r.Dst.Mask.Size()
			taken = append(taken, netip.PrefixFrom(addr, bits))
		}
	}
	return taken, nil
}

func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return err
	}
	return writeFile(path, b.Bytes(), 0o600)
}

// writeFile replaces a file as a whole, or not at all.
func writeFile(path string, content []byte, mode os.FileMode) error {
	return renameio.WriteFile(path, content, mode, renameio.WithStaticPermissions(mode))
}

// Package fake is a machine in memory, on which resources act as they do on a real one: files, systemd, kernel and programs. Thousands of them fit one
// process. A machine outlives the agents that work on it, so what a killed one left is there for the next. It is for tests, and knows nothing of
// clusters or agents.
package fake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/kubewright/kubewright/internal/resource"
)

// Contents are contents of files that machines share, as long as one has them. They are safe for use by several goroutines.
type Contents struct {
	mu   sync.Mutex
	held map[[sha256.Size]byte]weak.Pointer[content]
}

// content is there as long as a file that holds it.
type content struct{ bytes []byte }

// intern gives the shared copy of a content.
func (c *Contents) intern(b []byte) *content {
	sum := sha256.Sum256(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[[sha256.Size]byte]weak.Pointer[content]{}
	}
	if held := c.held[sum].Value(); held != nil {
		return held
	}
	held := &content{slices.Clip(slices.Clone(b))}
	c.held[sum] = weak.Make(held)
	runtime.AddCleanup(held, c.forget, sum)
	return held
}

// forget lets go of a content that no file holds any more.
func (c *Contents) forget(sum [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[sum].Value() == nil {
		delete(c.held, sum)
	}
}

// Machine is a machine. It is safe for use by several goroutines; Before is set before it is used.
type Machine struct {
	// Before is called before anything changes, with what is about to be done: "write /etc/hosts", "restart containerd.service". Its error is returned
	// instead of doing it. It may block. May be nil.
	Before func(op string) error

	contents *Contents

	mu       sync.Mutex
	nodes    map[string]*node // by path
	inodes   uint64
	free     uint64
	units    map[string]*unit
	sysctls  map[string]*sysctl
	modules  map[string]*module
	swaps    []resource.SwapArea
	mounts   []string
	links    []string
	routes   []netip.Prefix
	cgroups  []string
	shared   bool
	hostname string
	offset   time.Duration
	programs map[string]Program
	runtimes map[string]*Runtime // by endpoint
	measured Measured
}

// Program is what a program does.
type Program func(ctx context.Context, c resource.Command) (resource.Output, error)

// defaultFree is the room of a machine's file system in bytes, as of the local machines.
const defaultFree = 20 << 30

// New is a machine with the directories that every Linux has, and a name. Contents may be nil if it shares none.
func New(hostname string, contents *Contents) *Machine {
	if contents == nil {
		contents = &Contents{}
	}
	m := &Machine{
		contents: contents,
		nodes:    map[string]*node{},
		free:     defaultFree,
		units:    map[string]*unit{},
		sysctls:  map[string]*sysctl{},
		modules:  map[string]*module{},
		hostname: hostname,
		programs: map[string]Program{},
		runtimes: map[string]*Runtime{},
	}
	for _, dir := range []string{"/", "/etc", "/etc/systemd", unitDir, "/usr", "/usr/local", "/usr/local/bin", "/var", "/var/lib", "/run", "/tmp"} {
		m.nodes[dir] = m.node(node{kind: directory, attributes: resource.Attributes{Mode: 0o755, Owner: "root", Group: "root"}})
	}
	m.nodes["/etc/hostname"] = m.node(node{content: []byte(hostname + "\n"), attributes: resource.Attributes{Mode: 0o644, Owner: "root", Group: "root"}})
	return m
}

// Env is the machine for resources. Kept is for the caller to set.
func (m *Machine) Env(blob func(ctx context.Context, digest string) (io.ReadCloser, error)) *resource.Env {
	return &resource.Env{Files: files{m}, Systemd: systemd{m}, Kernel: kernel{m}, Exec: programs{m}, CRI: runtimes{m}, Measure: measurements{m}, Blob: blob}
}

// before asks whether something may be done.
func (m *Machine) before(format string, args ...any) error {
	if m.Before == nil {
		return nil
	}
	return m.Before(fmt.Sprintf(format, args...))
}

// SetProgram has a program do something; nil takes it away.
func (m *Machine) SetProgram(name string, p Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[name] = p
}

// SetFree is the room on the file system, in bytes. Files that need more do not fit (ENOSPC); what is written does not lessen it.
func (m *Machine) SetFree(bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = bytes
}

// SetClock is how far the machine's clock is ahead of the real one.
func (m *Machine) SetClock(offset time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset = offset
}

func (m *Machine) now() time.Time { return time.Now().Add(m.offset) }

// Reboot is a power cut and a start: what was only in memory has gone. Programs and declared units stay as they are.
func (m *Machine) Reboot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.nodes {
		if strings.HasPrefix(p, "/run/") || strings.HasPrefix(p, "/tmp/") {
			delete(m.nodes, p)
		}
	}
	for _, mod := range m.modules {
		mod.state = mod.boot
	}
	for name := range m.lines("/etc/modules-load.d") {
		if mod := m.modules[strings.TrimSpace(name)]; mod != nil && mod.state == resource.ModuleAvailable {
			mod.state = resource.ModuleLoaded
		}
	}
	for _, s := range m.sysctls {
		s.value = s.boot
	}
	for line := range m.lines("/etc/sysctl.d") {
		name, value, _ := strings.Cut(line, "=")
		if s := m.sysctl(strings.TrimPrefix(strings.TrimSpace(name), "-")); s != nil && s.readOnly == "" && s.refuses == nil {
			s.value = strings.TrimSpace(value)
		}
	}
	if n, err := m.find("/etc/hostname", true); err == nil && strings.TrimSpace(string(n.content)) != "" {
		m.hostname = strings.TrimSpace(string(n.content))
	}
	for name, u := range m.units {
		u.active, u.sub, u.read = "inactive", "dead", nil
		if m.unitFile(name, u) == "enabled" {
			m.started(name, u)
		}
	}
}

// lines are those of all files of a directory, without comments.
func (m *Machine) lines(dir string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, p := range slices.Sorted(maps.Keys(m.nodes)) {
			if !strings.HasPrefix(p, dir+"/") || !strings.HasSuffix(p, ".conf") {
				continue
			}
			for line := range strings.Lines(string(m.nodes[p].content)) {
				line = strings.TrimSpace(line)
				if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") && !yield(line) {
					return
				}
			}
		}
	}
}

// State is all that there is, in words, to compare before and after. How often a unit was started is no part of it.
func (m *Machine) State() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := map[string]string{"hostname": m.hostname}
	for p, n := range m.nodes {
		if dir, name := path.Split(p); dir == unitDir+"/" && n.kind == file {
			m.unit(name) // whether systemd was asked for it or not
		}
		s["path "+p] = fmt.Sprintf("%v %04o %s:%s %x%s", n.kind, n.attributes.Mode, n.attributes.Owner, n.attributes.Group, sha256.Sum256(n.content), n.link)
	}
	for name, u := range m.units {
		if load := m.load(name, u); load != "not-found" {
			s["unit "+name] = fmt.Sprintf("%s %s %s", load, u.active, m.unitFile(name, u))
		}
	}
	for name := range m.sysctls {
		if p := m.sysctl(name); p != nil {
			s["sysctl "+name] = strings.Join(strings.Fields(p.value), " ")
		}
	}
	for name, mod := range m.modules {
		s["module "+name] = string(mod.state)
	}
	for i, mount := range m.mounts {
		s[fmt.Sprintf("mount %s %d", mount, i)] = "mounted"
	}
	for _, link := range m.links {
		s["link "+link] = "present"
	}
	for _, to := range m.routes {
		s["route "+to.String()] = "present"
	}
	for _, group := range m.cgroups {
		s["cgroup "+group] = "present"
	}
	for _, a := range m.swaps {
		s["swap "+a.Path] = fmt.Sprint(a.Size, " priority ", a.Priority)
	}
	return s
}

package fake

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/resource"
)

// unitDir is where a file makes a unit.
const unitDir = "/etc/systemd/system"

// unit is what systemd knows of one.
type unit struct {
	declared       bool // it is there without a file
	active, sub    string
	result         string
	enabled        bool
	masked         bool
	read           *node // its file when systemd last read it, while it is in memory
	since          time.Time
	log            []string
	starts, resets int
	reloads        int
}

func (m *Machine) unit(name string) *unit {
	u := m.units[name]
	if u == nil {
		u = &unit{active: "inactive", sub: "dead"}
		m.units[name] = u
	}
	return u
}

// load is the load state. A unit that runs is in memory until systemd reads its units again, whatever becomes of its file.
func (m *Machine) load(name string, u *unit) string {
	switch {
	case u.masked:
		return "masked"
	case u.declared || u.read != nil || m.nodes[path.Join(unitDir, name)] != nil:
		return "loaded"
	}
	return "not-found"
}

func (m *Machine) unitFile(name string, u *unit) string {
	switch {
	case u.masked:
		return "masked"
	case !u.declared && m.nodes[path.Join(unitDir, name)] == nil:
		return ""
	case u.enabled:
		return "enabled"
	}
	return "disabled"
}

// started makes a unit run.
func (m *Machine) started(name string, u *unit) {
	u.active, u.sub, u.result = "active", "running", "success"
	if u.read == nil {
		u.read = m.nodes[path.Join(unitDir, name)]
	}
	u.since = m.now()
}

// DeclareUnit makes a unit that is there without a file, as a package would.
func (m *Machine) DeclareUnit(name string, active, enabled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.unit(name)
	u.declared, u.enabled = true, enabled
	if active {
		m.started(name, u)
	}
}

// SetUnit puts a unit into a state as if by itself: "inactive", "failed", "activating", "active". Lines are added to its log.
func (m *Machine) SetUnit(name, active string, log ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.unit(name)
	u.active, u.log = active, append(u.log, log...)
	u.sub = map[string]string{"active": "running", "failed": "failed", "activating": "auto-restart"}[active]
	u.result = "success"
	if active == "failed" {
		u.result = "exit-code"
	}
	if active == "inactive" || active == "failed" {
		u.sub, u.read = "dead", nil
	}
}

// Starts is how often a unit that did not run was started, reboots aside.
func (m *Machine) Starts(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unit(name).starts
}

// Restarts is how often a unit that ran was restarted.
func (m *Machine) Restarts(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unit(name).resets
}

// Reloads is how often a unit that ran was told to read its configuration again.
func (m *Machine) Reloads(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unit(name).reloads
}

// systemd is the machine's.
type systemd struct{ m *Machine }

func (s systemd) Unit(_ context.Context, name string) (resource.UnitState, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	u := s.m.unit(name)
	st := resource.UnitState{Name: name, Load: s.m.load(name, u), Active: u.active, File: s.m.unitFile(name, u)}
	now := s.m.nodes[path.Join(unitDir, name)]
	st.Reload = u.read != nil && u.read != now && (now == nil || string(now.content) != string(u.read.content))
	return st, nil
}

func (s systemd) Loaded(_ context.Context, patterns ...string) ([]string, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.m.units)) {
		u := s.m.units[name]
		if s.m.load(name, u) == "not-found" && u.active == "inactive" {
			continue
		}
		for _, p := range patterns {
			if ok, err := path.Match(p, name); err != nil {
				return nil, fmt.Errorf("%q: %w", p, err)
			} else if ok {
				names = append(names, name)
				break
			}
		}
	}
	return names, nil
}

func (s systemd) Units(_ context.Context, names ...string) ([]resource.UnitState, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var units []resource.UnitState
	for _, name := range names {
		u := s.m.unit(name)
		units = append(units, resource.UnitState{Name: name, Load: s.m.load(name, u), Active: u.active})
	}
	return units, nil
}

func (systemd) About(context.Context) (resource.SystemdInfo, error) {
	return resource.SystemdInfo{Version: "252.38-1~deb12u1"}, nil
}

func (s systemd) DaemonReload(context.Context) error {
	if err := s.m.before("daemon-reload"); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.reload()
	return nil
}

func (m *Machine) reload() {
	for name, u := range m.units {
		if u.read != nil {
			u.read = m.nodes[path.Join(unitDir, name)]
		}
	}
}

// change does something to a unit that may be refused, and that systemd has to know the unit for.
func (s systemd) change(op, name string, loaded bool, do func(u *unit)) error {
	if err := s.m.before("%s %s", op, name); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	u := s.m.unit(name)
	if load := s.m.load(name, u); loaded && load != "loaded" {
		return fmt.Errorf("cannot %s %s: it is %s", op, name, load)
	}
	do(u)
	return nil
}

func (s systemd) Start(_ context.Context, name string) error {
	return s.change("start", name, true, func(u *unit) {
		if u.active != "active" {
			u.starts++
			s.m.started(name, u)
		}
	})
}

func (s systemd) Stop(_ context.Context, name string) error {
	return s.change("stop", name, false, func(u *unit) {
		u.active, u.sub, u.read = "inactive", "dead", nil
		s.m.swapUnitStopped(name)
	})
}

func (s systemd) Restart(_ context.Context, name string) error {
	return s.change("restart", name, true, func(u *unit) {
		if u.active == "active" {
			u.resets++
		} else {
			u.starts++
		}
		s.m.started(name, u)
	})
}

func (s systemd) Reload(_ context.Context, name string) error {
	if err := s.change("reload", name, true, func(u *unit) {
		if u.active == "active" {
			u.reloads++
		}
	}); err != nil {
		return err
	}
	if st, _ := s.Unit(context.Background(), name); st.Active != "active" {
		return fmt.Errorf("cannot reload %s: it is %s", name, st.Active)
	}
	return nil
}

func (s systemd) Enable(_ context.Context, name string) error {
	return s.change("enable", name, true, func(u *unit) { u.enabled = true; s.m.reload() })
}

func (s systemd) Disable(_ context.Context, name string) error {
	return s.change("disable", name, false, func(u *unit) { u.enabled = false; s.m.reload() })
}

func (s systemd) Mask(_ context.Context, name string) error {
	if s.m.hasFile(name) {
		return fmt.Errorf("cannot mask %s: %s exists", name, path.Join(unitDir, name))
	}
	return s.change("mask", name, false, func(u *unit) { u.masked = true; s.m.reload() })
}

func (m *Machine) hasFile(unit string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[path.Join(unitDir, unit)] != nil
}

func (s systemd) Unmask(_ context.Context, name string) error {
	return s.change("unmask", name, false, func(u *unit) { u.masked = false; s.m.reload() })
}

func (s systemd) Log(_ context.Context, name string, lines int) ([]string, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	log := s.m.unit(name).log
	return slices.Clone(log[max(0, len(log)-lines):]), nil
}

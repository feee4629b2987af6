package fake

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/resource"
)

// sysctl is a kernel parameter.
type sysctl struct {
	value, boot string
	module      string // that brings it; empty if it is always there
	readOnly    string // why it cannot be set, which can be seen
	refuses     error  // what setting it ends with, which cannot be seen before
}

type module struct{ state, boot resource.ModuleState }

// DeclareSysctl makes a kernel parameter with its value after a boot. If a module is named, it is there while that is loaded.
func (m *Machine) DeclareSysctl(name, value, module string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sysctls[name] = &sysctl{value: value, boot: value, module: module}
}

// SetSysctl sets a value as somebody else would.
func (m *Machine) SetSysctl(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sysctls[name].value = value
}

// LockSysctl has a parameter that is declared keep its value: why is what can be seen; refuses is what setting it ends with although nothing could
// be seen. Both empty, it can be set again.
func (m *Machine) LockSysctl(name, why string, refuses error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sysctls[name].readOnly, m.sysctls[name].refuses = why, refuses
}

// DeclareModule makes a module with its state after a boot.
func (m *Machine) DeclareModule(name string, state resource.ModuleState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.modules[name] = &module{state, state}
}

// SetSwaps are the swap areas in use. An area /x/y goes with the unit x-y.swap, if that was declared.
func (m *Machine) SetSwaps(areas ...resource.SwapArea) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swaps = areas
}

// SetShared makes it a container.
func (m *Machine) SetShared(shared bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shared = shared
}

// swapUnitStopped turns off the area of a unit.
func (m *Machine) swapUnitStopped(name string) {
	if area, ok := strings.CutSuffix(name, ".swap"); ok {
		m.swaps = slices.DeleteFunc(slices.Clone(m.swaps), func(a resource.SwapArea) bool {
			return strings.ReplaceAll(strings.TrimPrefix(a.Path, "/"), "/", "-") == area
		})
	}
}

// sysctl is a parameter that is there.
func (m *Machine) sysctl(name string) *sysctl {
	s := m.sysctls[name]
	if s == nil || s.module != "" && (m.modules[s.module] == nil || m.modules[s.module].state != resource.ModuleLoaded) {
		return nil
	}
	return s
}

// kernel is the machine's.
type kernel struct{ m *Machine }

func (k kernel) Sysctl(name string) (string, error) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	s := k.m.sysctl(name)
	if s == nil {
		return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return s.value, nil
}

func (k kernel) SysctlSettable(name string) (bool, string) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	s := k.m.sysctl(name)
	if s == nil {
		return false, "this kernel has no " + name
	}
	return s.readOnly == "", s.readOnly
}

func (k kernel) SetSysctl(name, value string) error {
	if err := k.m.before("sysctl %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	s := k.m.sysctl(name)
	switch {
	case s == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case s.readOnly != "":
		return fmt.Errorf("%s: %w", s.readOnly, fs.ErrPermission)
	case s.refuses != nil:
		return s.refuses
	}
	s.value = value
	return nil
}

func (k kernel) Module(name string) (resource.ModuleState, error) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	if mod := k.m.modules[name]; mod != nil {
		return mod.state, nil
	}
	return resource.ModuleMissing, nil
}

func (k kernel) LoadModule(_ context.Context, name string) error {
	if err := k.m.before("load module %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	mod := k.m.modules[name]
	if mod == nil || mod.state == resource.ModuleMissing {
		return fmt.Errorf("module %s: %w", name, fs.ErrNotExist)
	}
	mod.state = resource.ModuleLoaded
	return nil
}

func (k kernel) UnloadModule(_ context.Context, name string) error {
	if err := k.m.before("unload module %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	if mod := k.m.modules[name]; mod != nil && mod.boot != resource.ModuleLoaded {
		mod.state = mod.boot
	}
	return nil
}

func (k kernel) Shared() bool {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	return k.m.shared
}

func (k kernel) Swaps() ([]resource.SwapArea, error) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	return slices.Clone(k.m.swaps), nil
}

func (k kernel) SwapOff(name string) error {
	if err := k.m.before("swap off %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	k.m.swaps = slices.DeleteFunc(slices.Clone(k.m.swaps), func(a resource.SwapArea) bool { return a.Path == name })
	return nil
}

func (k kernel) SwapOn(a resource.SwapArea) error {
	if err := k.m.before("swap on %s", a.Path); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	a.Size = 1 << 30
	if a.Priority < 0 {
		a.Priority = -2
		for _, other := range k.m.swaps {
			a.Priority = min(a.Priority, other.Priority-1)
		}
	}
	k.m.swaps = append(slices.Clone(k.m.swaps), a)
	return nil
}

func (k kernel) Hostname() (string, error) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	return k.m.hostname, nil
}

func (k kernel) SetHostname(name string) error {
	if err := k.m.before("hostname %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	k.m.hostname = name
	return nil
}

func (k kernel) Now() time.Time {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	return k.m.now()
}

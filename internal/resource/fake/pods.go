package fake

import (
	"net/netip"
	"slices"
	"strings"
)

// SetMounts are the paths at which something is mounted, in order.
func (m *Machine) SetMounts(paths ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mounts = paths
}

// SetLinks are the network interfaces.
func (m *Machine) SetLinks(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links = names
}

// SetRoutes are the ranges to which there are routes.
func (m *Machine) SetRoutes(to ...netip.Prefix) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = to
}

// SetCgroups are control groups, by their paths below the root.
func (m *Machine) SetCgroups(paths ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cgroups = paths
}

func (k kernel) Mounts() ([]string, error) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	return slices.Clone(k.m.mounts), nil
}

func (k kernel) Unmount(path string) error {
	if err := k.m.before("unmount %s", path); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	for i, mount := range slices.Backward(k.m.mounts) {
		if mount == path {
			k.m.mounts = slices.Delete(slices.Clone(k.m.mounts), i, i+1)
			break
		}
	}
	return nil
}

func (k kernel) Links() ([]string, error) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	return slices.Clone(k.m.links), nil
}

func (k kernel) RemoveLink(name string) error {
	if err := k.m.before("remove link %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	k.m.links = slices.DeleteFunc(slices.Clone(k.m.links), func(l string) bool { return l == name })
	return nil
}

func (k kernel) RemoveRoutes(to netip.Prefix) error {
	if err := k.m.before("remove routes to %s", to); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	k.m.routes = slices.DeleteFunc(slices.Clone(k.m.routes), func(r netip.Prefix) bool { return to.Contains(r.Addr()) && r.Bits() >= to.Bits() })
	return nil
}

func (k kernel) RemoveCgroup(name string) error {
	if err := k.m.before("remove control group %s", name); err != nil {
		return err
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	k.m.cgroups = slices.DeleteFunc(slices.Clone(k.m.cgroups), func(g string) bool { return g == name || strings.HasPrefix(g, name+"/") })
	return nil
}

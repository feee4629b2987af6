package resource

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mounts are those of this machine.
func (LocalKernel) Mounts() ([]string, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	var paths []string
	for _, m := range mounts {
		paths = append(paths, m.Mountpoint)
	}
	return paths, nil
}

// Unmount does not wait for those who use it (MNT_DETACH).
func (LocalKernel) Unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // it went by itself meanwhile
	}
	return err
}

// Links asks the kernel by netlink(7).
func (LocalKernel) Links() ([]string, error) {
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names, nil
}

// RemoveLink fails on those of hardware.
func (LocalKernel) RemoveLink(name string) error {
	l, err := netlink.LinkByName(name)
	if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(l)
}

// RemoveRoutes looks at the main table alone.
func (LocalKernel) RemoveRoutes(to netip.Prefix) error {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	routes, err := whole(func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		a, ok := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		if !ok || !to.Contains(a.Unmap()) || bits < to.Bits() {
			continue
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%s: %w", r.Dst, err)
		}
	}
	return nil
}

// whole asks for a list again if it changed while the kernel told it.
func whole[T any](list func() ([]T, error)) (found []T, err error) {
	for range 10 {
		if found, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return found, err
}

// cgroups is where control groups are: the hierarchy of version 2, or a directory for each hierarchy of version 1.
const cgroups = "/sys/fs/cgroup"

// RemoveCgroup looks in all hierarchies: systemd knows but some of version 1, and who makes a group there makes it in all.
func (LocalKernel) RemoveCgroup(name string) error {
	found, err := filepath.Glob(filepath.Join(cgroups, "*", name))
	if err != nil {
		return err
	}
	for _, dir := range append(found, filepath.Join(cgroups, name)) {
		if err := removeCgroup(dir); err != nil {
			return fmt.Errorf("removing a control group: %w", err)
		}
	}
	return nil
}

// removeCgroup removes the innermost first. The files in a group go with it.
func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

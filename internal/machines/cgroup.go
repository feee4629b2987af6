package machines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// hierarchy is one mounted tree of control groups: the single tree of cgroup v2, or one of the several of v1.
type hierarchy struct {
	mount       string
	v2          bool
	controllers []string
}

// cgroupHierarchies lists the mounted trees, v2 first. A host with v1 controllers has a v2 tree without controllers
// beside them ("hybrid"); it is what machines are tracked and killed by on every host.
func cgroupHierarchies() ([]hierarchy, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("reading the mounted control groups: %w", err)
	}
	var all []hierarchy
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.FSType+m.VFSOptions] {
			continue // the same tree, mounted a second time
		}
		seen[m.FSType+m.VFSOptions] = true
		h := hierarchy{mount: m.Mountpoint, v2: m.FSType == "cgroup2"}
		if h.v2 {
			names, err := os.ReadFile(filepath.Join(h.mount, "cgroup.controllers"))
			if err != nil {
				return nil, err
			}
			h.controllers = strings.Fields(string(names))
			all = slices.Insert(all, 0, h)
			continue
		}
		for _, o := range strings.Split(m.VFSOptions, ",") {
			if o != "rw" && o != "ro" {
				h.controllers = append(h.controllers, o)
			}
		}
		all = append(all, h)
	}
	if len(all) == 0 || !all[0].v2 {
		return nil, errors.New("no cgroup v2 tree is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	return all, nil
}

// cgroup is the same path in every hierarchy.
type cgroup struct {
	trees []hierarchy
	path  string // relative to each mount point, such as kubewright/alice/m1
}

func (g cgroup) sub(name string) cgroup { return cgroup{g.trees, filepath.Join(g.path, name)} }

// v2 is the directory in the v2 tree.
func (g cgroup) v2() string { return filepath.Join(g.trees[0].mount, g.path) }

// create makes the group and its parents in every hierarchy and, in v2, makes the controllers available in it.
func (g cgroup) create() error {
	for _, h := range g.trees {
		err := h.create(g.path)
		for range 10 {
			if !errors.Is(err, fs.ErrNotExist) {
				break
			}
			err = h.create(g.path) // somebody else's last machine took a parent with it while we were at it
		}
		if err != nil {
			return fmt.Errorf("creating control group %s: %w", filepath.Join(h.mount, g.path), err)
		}
	}
	return nil
}

func (h hierarchy) create(path string) error {
	dir := h.mount
	for _, name := range strings.Split(path, "/") {
		parent := dir
		if err := h.delegate(parent); err != nil {
			return err
		}
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !h.v2 && slices.Contains(h.controllers, "cpuset") {
			// A v1 cpuset starts empty and takes no process until it names CPUs and memory nodes.
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				value, err := os.ReadFile(filepath.Join(parent, f))
				if err != nil {
					return err
				}
				if err := writeCgroup(dir, f, strings.TrimSpace(string(value))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (h hierarchy) delegate(dir string) error {
	if !h.v2 {
		return nil
	}
	for _, c := range h.controllers {
		switch c {
		case "cpu", "memory", "pids", "io", "cpuset":
			if err := writeCgroup(dir, "cgroup.subtree_control", "+"+c); err != nil {
				return fmt.Errorf("controller %s is not to be had (is this a container without its own control groups?): %w", c, err)
			}
		}
	}
	return nil
}

// limit sets how much of the CPU and of the memory the group may use; swap outside does not count as memory. cpus is a
// number of CPUs, memory is in bytes; zero is no limit.
func (g cgroup) limit(cpus float64, memory int64) error {
	const period = 100_000 // µs; the kernel's default for both versions
	quota, quota2, bytes, bytes2, swap2 := "-1", "max", "-1", "max", "max"
	if cpus > 0 {
		quota = strconv.Itoa(int(cpus * period))
		quota2 = quota
	}
	if memory > 0 {
		bytes = strconv.FormatInt(memory, 10)
		bytes2, swap2 = bytes, "0"
	}
	for _, h := range g.trees {
		dir := filepath.Join(h.mount, g.path)
		for _, c := range h.controllers {
			var err error
			switch {
			case c == "cpu" && h.v2:
				err = writeCgroup(dir, "cpu.max", quota2+" "+strconv.Itoa(period))
			case c == "cpu":
				err = errors.Join(writeCgroup(dir, "cpu.cfs_period_us", strconv.Itoa(period)), writeCgroup(dir, "cpu.cfs_quota_us", quota))
			case c == "memory" && h.v2:
				err = errors.Join(writeCgroup(dir, "memory.max", bytes2), writeWhereKnown(dir, "memory.swap.max", swap2))
			case c == "memory":
				// The limit of memory and swap together is never below that of memory alone, not even for a moment.
				err = errors.Join(writeWhereKnown(dir, "memory.memsw.limit_in_bytes", "-1"), writeCgroup(dir, "memory.limit_in_bytes", bytes),
					writeWhereKnown(dir, "memory.memsw.limit_in_bytes", bytes))
			}
			if err != nil {
				return fmt.Errorf("limiting control group %s: %w", g.path, err)
			}
		}
	}
	return nil
}

// writeWhereKnown is writeCgroup for what a kernel without swap accounting does not have.
func writeWhereKnown(dir, file, value string) error {
	if err := writeCgroup(dir, file, value); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// joinV1 moves the calling thread into the group in every v1 hierarchy; what it forks starts there. In v2 a process is
// born into its group (CLONE_INTO_CGROUP), which leaves no moment in which it could be lost.
func (g cgroup) joinV1() error {
	for _, h := range g.trees {
		if h.v2 {
			continue
		}
		if err := writeCgroup(filepath.Join(h.mount, g.path), "tasks", "0"); err != nil {
			return err
		}
	}
	return nil
}

// populated reports whether any process lives in the group or below it.
func (g cgroup) populated() (bool, error) {
	events, err := os.ReadFile(filepath.Join(g.v2(), "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return strings.Contains(string(events), "populated 1"), nil
}

// pids lists the processes in the group and below it.
func (g cgroup) pids() ([]int, error) {
	var all []int
	err := filepath.WalkDir(g.v2(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil // it went away while we looked
		}
		if err != nil || !d.IsDir() {
			return err
		}
		procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil // likewise, or a threaded group, whose processes its parent lists
		}
		for _, p := range strings.Fields(string(procs)) {
			pid, err := strconv.Atoi(p)
			if err != nil {
				return err
			}
			all = append(all, pid)
		}
		return nil
	})
	return all, err
}

// kill ends every process in the group and below it at once; none of them gets a chance to do anything first.
func (g cgroup) kill(ctx context.Context) error {
	err := writeCgroup(g.v2(), "cgroup.kill", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.waitEmpty(ctx)
}

func (g cgroup) waitEmpty(ctx context.Context) error {
	return Wait(ctx, "the processes in control group "+g.path+" to end", func(context.Context) error {
		populated, err := g.populated()
		if err != nil {
			return Fatal(err)
		}
		if populated {
			pids, _ := g.pids()
			return fmt.Errorf("still there: %v", pids)
		}
		return nil
	})
}

// remove deletes the group with everything below it, and those of its parents that are empty then.
func (g cgroup) remove(ctx context.Context) error {
	if err := g.removeBelow(ctx); err != nil {
		return err
	}
	for _, h := range g.trees {
		for p := g.path; p != "."; p = filepath.Dir(p) {
			if err := unix.Rmdir(filepath.Join(h.mount, p)); err != nil && !errors.Is(err, unix.ENOENT) {
				if p == g.path {
					return fmt.Errorf("removing control group %s: %w", filepath.Join(h.mount, p), err)
				}
				break // a parent that other machines use
			}
		}
	}
	return nil
}

// removeBelow deletes the groups below this one, depth first.
func (g cgroup) removeBelow(ctx context.Context) error {
	for _, h := range g.trees {
		top := filepath.Join(h.mount, g.path)
		err := Wait(ctx, "control group "+top+" to become free", func(context.Context) error {
			var dirs []string
			err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				if err == nil && d.IsDir() && path != top {
					dirs = append(dirs, path)
				}
				return err
			})
			if err != nil {
				return Fatal(err)
			}
			for _, d := range slices.Backward(dirs) {
				// EBUSY for a moment after the last process: its exit is not fully accounted yet.
				if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
					return fmt.Errorf("%s: %w", d, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func writeCgroup(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("writing %q: %w", value, err)
	}
	return nil
}

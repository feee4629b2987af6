package resource

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LocalKernel is the kernel of this machine.
type LocalKernel struct{ exec Exec }

// sysctlPath is where a kernel parameter lies. As with sysctl(8), dots in the names of interfaces are written as slashes.
func sysctlPath(name string) string {
	swap := strings.NewReplacer(".", "/", "/", ".")
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		return filepath.Join("/proc/sys", name)
	}
	return filepath.Join("/proc/sys", swap.Replace(name))
}

// Sysctl reads a value.
func (LocalKernel) Sysctl(name string) (string, error) {
	b, err := os.ReadFile(sysctlPath(name))
	return strings.TrimSpace(string(b)), err
}

// SysctlSettable looks at permissions and mounts. Files of /proc/sys keep to their permissions for root, too.
func (LocalKernel) SysctlSettable(name string) (bool, string) {
	p := sysctlPath(name)
	switch err := unix.Access(p, unix.W_OK); {
	case errors.Is(err, unix.EROFS):
		return false, "it is mounted read-only here"
	case errors.Is(err, fs.ErrPermission):
		return false, "it is read-only here"
	case err != nil:
		return false, err.Error()
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p, &st); err == nil && st.Flags&unix.ST_RDONLY != 0 {
		return false, "it is mounted read-only here"
	}
	return true, ""
}

// SetSysctl writes a value.
func (LocalKernel) SetSysctl(name, value string) error {
	f, err := os.OpenFile(sysctlPath(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}

// builtInSigns are files that tell that something is in the kernel that has neither parameters (/sys/module) nor an entry in modules.builtin, or
// whose list is not on this machine: containers have none.
var builtInSigns = map[string]string{
	"br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables",
	"nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_count",
}

// Module looks among loaded modules, those built in, and files.
func (LocalKernel) Module(name string) (ModuleState, error) {
	name = strings.ReplaceAll(name, "-", "_")
	if _, err := os.Stat(filepath.Join("/sys/module", name)); err == nil {
		// A module that is just coming or going is there, too.
		if state, err := os.ReadFile(filepath.Join("/sys/module", name, "initstate")); err != nil || strings.TrimSpace(string(state)) == "live" {
			return ModuleLoaded, nil
		}
	}
	loaded, err := os.ReadFile("/proc/modules")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, ok := moduleUsers(loaded, name); ok {
		return ModuleLoaded, nil
	}
	if sign, ok := builtInSigns[name]; ok {
		if _, err := os.Stat(sign); err == nil {
			return ModuleLoaded, nil
		}
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return "", err
	}
	if slices.Contains(strings.Fields(string(filesystems)), name) {
		return ModuleLoaded, nil
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("asking for the kernel's release: %w", err)
	}
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]))
	for _, list := range []struct {
		file  string
		state ModuleState
	}{{"modules.builtin", ModuleLoaded}, {"modules.dep", ModuleAvailable}} {
		there, err := listsModule(filepath.Join(dir, list.file), name)
		if err != nil {
			return "", err
		}
		if there && (list.state == ModuleLoaded || mayLoadModules()) {
			return list.state, nil
		}
	}
	return ModuleMissing, nil
}

// moduleUsers is how many use a module, and whether it is loaded, by what /proc/modules says.
func moduleUsers(modules []byte, name string) (users int, loaded bool) {
	for line := range bytes.Lines(modules) {
		fields := strings.Fields(string(line))
		if len(fields) >= 3 && fields[0] == name {
			users, err := strconv.Atoi(fields[2])
			return users, err == nil
		}
	}
	return 0, false
}

// listsModule looks for a module in a list whose lines begin with paths ("kernel/fs/overlayfs/overlay.ko.xz: …").
func listsModule(file, name string) (bool, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p, _, _ := strings.Cut(lines.Text(), ":")
		base, _, _ := strings.Cut(filepath.Base(p), ".ko")
		if strings.ReplaceAll(base, "-", "_") == name {
			return true, nil
		}
	}
	return false, lines.Err()
}

// mayLoadModules says whether modules may be loaded at all.
func mayLoadModules() bool {
	if disabled, err := os.ReadFile("/proc/sys/kernel/modules_disabled"); err != nil || strings.TrimSpace(string(disabled)) != "0" {
		return false
	}
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&h, &caps[0]); err != nil {
		return false
	}
	return caps[0].Effective&(1<<unix.CAP_SYS_MODULE) != 0
}

// LoadModule asks modprobe(8), which knows what a module depends on.
func (k LocalKernel) LoadModule(ctx context.Context, name string) error {
	return k.modprobe(ctx, name)
}

func (k LocalKernel) modprobe(ctx context.Context, args ...string) error {
	o, err := k.exec.Run(ctx, Command{Name: "modprobe", Args: args})
	if err != nil {
		return err
	}
	switch said := o.last(); {
	case o.Code == 0:
		return nil
	case strings.Contains(said, "not permitted") || strings.Contains(said, "denied"):
		return fmt.Errorf("%s: %w", said, fs.ErrPermission)
	case strings.Contains(said, "not found"):
		return fmt.Errorf("%s: %w", said, fs.ErrNotExist)
	default:
		return errors.New(said)
	}
}

// UnloadModule leaves one that something uses.
func (k LocalKernel) UnloadModule(ctx context.Context, name string) error {
	name = strings.ReplaceAll(name, "-", "_")
	inUse := func() (bool, error) {
		modules, err := os.ReadFile("/proc/modules")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without modules has none
			return false, err
		}
		users, loaded := moduleUsers(modules, name)
		return users > 0 || !loaded, nil
	}
	if used, err := inUse(); used || err != nil {
		return err
	}
	err := k.modprobe(ctx, "-r", name)
	if err == nil {
		return nil
	}
	// Somebody may have begun to use it meanwhile.
	if used, useErr := inUse(); useErr == nil && used {
		return nil
	}
	return err
}

// Shared looks for what container managers tell systemd, and for what Docker and Podman leave.
func (LocalKernel) Shared() bool {
	for _, sign := range []string{"/run/systemd/container", "/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(sign); err == nil {
			return true
		}
	}
	environ, err := os.ReadFile("/proc/1/environ")
	return err == nil && slices.ContainsFunc(strings.Split(string(environ), "\x00"), func(v string) bool { return strings.HasPrefix(v, "container=") })
}

// Swaps are those of /proc/swaps.
func (LocalKernel) Swaps() ([]SwapArea, error) {
	b, err := os.ReadFile("/proc/swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without swap
	}
	if err != nil {
		return nil, err
	}
	return parseSwaps(string(b))
}

// parseSwaps reads proc_swaps(5): a heading, then path, type, size and use in KiB, and priority, with spaces in paths as "\040".
func parseSwaps(text string) ([]SwapArea, error) {
	var areas []SwapArea
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) == 0 {
			continue
		}
		if len(fields) < 5 {
			return nil, fmt.Errorf("/proc/swaps has the line %q", line)
		}
		kib, err := strconv.ParseUint(fields[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/swaps has the line %q: %w", line, err)
		}
		priority, err := strconv.Atoi(fields[4])
		if err != nil {
			return nil, fmt.Errorf("/proc/swaps has the line %q: %w", line, err)
		}
		areas = append(areas, SwapArea{Path: unescape.Replace(fields[0]), Size: kib << 10, Priority: priority})
	}
	return areas, nil
}

// SwapOff returns when nothing is left there.
func (LocalKernel) SwapOff(name string) error { return swapCall(unix.SYS_SWAPOFF, name, 0) }

// SwapOn calls swapon(2).
func (LocalKernel) SwapOn(a SwapArea) error {
	return swapCall(unix.SYS_SWAPON, a.Path, swapFlags(a.Priority))
}

// swapFlags ask for a priority (SWAP_FLAG_PREFER and SWAP_FLAG_PRIO_MASK of linux/swap.h).
func swapFlags(priority int) uintptr {
	const prefer, mask = 0x8000, 0x7fff
	if priority < 0 {
		return 0
	}
	return uintptr(prefer | priority&mask)
}

func swapCall(number uintptr, name string, flags uintptr) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(number, uintptr(unsafe.Pointer(p)), flags, 0); errno != 0 {
		return errno
	}
	return nil
}

// Hostname is the kernel's.
func (LocalKernel) Hostname() (string, error) { return os.Hostname() }

// SetHostname sets the kernel's.
func (LocalKernel) SetHostname(name string) error { return unix.Sethostname([]byte(name)) }

// Now is the clock's time.
func (LocalKernel) Now() time.Time { return time.Now() }

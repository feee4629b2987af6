// Package inside is what a local machine runs before its own first process: it makes a container look and behave like a
// server that has its kernel to itself, takes away what would reach the kernel outside, and becomes /sbin/init.
//
// It runs as process 1 of the machine and must not know sets, files or addresses of the machine outside.
package inside

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// Program is where the machine outside binds the program that calls Boot.
const Program = "/run/.machine-boot"

// NamespacedSysctls are the beginnings of the names of those kernel settings that belong to a network, UTS, IPC or PID
// namespace, so that a machine changes its own copy. The net/ settings that are global are read-only outside the first
// network namespace since Linux 5.13 (net/sysctl_net.c, ensure_safe_net_sysctl).
var NamespacedSysctls = []string{
	"net/", "kernel/hostname", "kernel/domainname", "kernel/shm", "kernel/msg", "kernel/sem", "kernel/ns_last_pid", "fs/mqueue/",
}

// measuredSysctls are read-only or answer anew at each reading; the machine sees the kernel's own.
var measuredSysctls = []string{
	"fs/aio-nr", "fs/dentry-state", "fs/file-nr", "fs/inode-nr", "fs/inode-state", "kernel/pty/nr", "kernel/random/entropy_avail", "kernel/random/uuid",
}

// defaultSysctls are the kernel's own defaults (Documentation/admin-guide/sysctl of Linux 6.1) for what cluster software
// likes to change, so that a machine starts with them whatever the machine outside has been set to.
var defaultSysctls = map[string]string{
	"fs/inotify/max_user_instances": "128",
	"kernel/panic":                  "0",
	"kernel/panic_on_oops":          "0",
	"vm/max_map_count":              "65530",
	"vm/overcommit_memory":          "0",
	"vm/panic_on_oom":               "0",
	"vm/swappiness":                 "60",
}

// Boot prepares the machine and replaces the calling process by init, the machine's own first process; it returns only
// when that failed.
func Boot(init string) error {
	runtime.LockOSThread() // what is set of a thread stays with the one that becomes init
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"separating mounts", func() error { return propagation(unix.MS_PRIVATE) }},
		{"mounting /sys", mountSys},
		{"opening the control groups", openControlGroups},
		{"giving the machine kernel settings of its own", ownSysctls},
		{"hiding what belongs to the kernel outside", hideOutside},
		{"network defaults", networkDefaults},
		{"sharing mounts, as systemd does and kubelets want it", func() error { return propagation(unix.MS_SHARED) }},
		{"forbidding system calls", forbidCalls},
		{"forbidding system calls of other architectures", forbidForeignCalls},
		{"depending on the machine's power", func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) }},
		{"leaving", vanish},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return fmt.Errorf("starting %s: %w", init, unix.Exec(init, []string{init}, os.Environ()))
}

func propagation(kind uintptr) error { return unix.Mount("", "/", "", unix.MS_REC|kind, "") }

// mountSys replaces the /sys made outside, which shows the network devices outside. It is read-only: almost nothing in it
// belongs to a namespace.
func mountSys() error {
	const fresh = "/run/.sys"
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", fresh, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := unix.Mount("/sys/fs/cgroup", fresh+"/fs/cgroup", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount(fresh, "/sys", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("", "/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	return errors.Join(unix.Unmount(fresh, unix.MNT_DETACH), os.Remove(fresh))
}

// openControlGroups makes the control groups writable where they are several trees (v1): the container's namespace ends
// at the machine's own group, so systemd and container runtimes inside manage real limits below it and nothing above.
func openControlGroups() error {
	const top = "/sys/fs/cgroup"
	var fsinfo unix.Statfs_t
	if err := unix.Statfs(top, &fsinfo); err != nil {
		return err
	}
	flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if fsinfo.Type == unix.CGROUP2_SUPER_MAGIC {
		return unix.Mount("", top, "", flags, "")
	}
	trees, err := os.ReadDir(top)
	if err != nil {
		return err
	}
	for _, t := range trees {
		if !t.IsDir() {
			continue // a link such as cpuacct -> cpu,cpuacct
		}
		if err := unix.Mount("", filepath.Join(top, t.Name()), "", flags, ""); err != nil {
			return fmt.Errorf("%s: %w", t.Name(), err)
		}
	}
	return nil
}

// ownSysctls lays files of the machine's own over every kernel setting that is not namespaced: they can be read and
// written as on a server, start with the kernel's defaults at each boot, and reach nothing outside.
func ownSysctls() error {
	const kernels, own = "/run/.kernel-sysctl", "/run/.own-sysctl"
	if err := errors.Join(os.Mkdir(kernels, 0o700), os.Mkdir(own, 0o700)); err != nil {
		return err
	}
	if err := unix.Mount("/proc/sys", kernels, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysctl", own, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return err
	}
	tops, err := os.ReadDir(kernels)
	if err != nil {
		return err
	}
	for _, top := range tops {
		if top.Name() == "net" || !top.IsDir() {
			continue
		}
		if err := copySysctls(kernels, own, top.Name()); err != nil {
			return err
		}
		if err := unix.Mount(filepath.Join(own, top.Name()), filepath.Join("/proc/sys", top.Name()), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	for name, value := range defaultSysctls {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value+"\n"), 0o644); err != nil {
			return err
		}
	}
	// The boot's identity is how a reboot is noticed; it is never the one of the machine outside.
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	boot := fmt.Sprintf("%x-%x-%x-%x-%x\n", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
	if err := os.WriteFile("/proc/sys/kernel/random/boot_id", []byte(boot), 0o644); err != nil {
		return err
	}
	return errors.Join(unix.Unmount(kernels, unix.MNT_DETACH), unix.Unmount(own, unix.MNT_DETACH), os.Remove(kernels), os.Remove(own))
}

func copySysctls(from, to, top string) error {
	return filepath.WalkDir(filepath.Join(from, top), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		value, err := os.ReadFile(path)
		if err != nil {
			value = nil // write-only, such as vm/drop_caches, or not answering in a container
		}
		if err := os.WriteFile(target, value, 0o600); err != nil {
			return err
		}
		if err := os.Chmod(target, info.Mode().Perm()); err != nil {
			return err
		}
		if startsWithAny(name, NamespacedSysctls) || startsWithAny(name, measuredSysctls) {
			return unix.Mount(path, target, "", unix.MS_BIND, "")
		}
		return nil
	})
}

func startsWithAny(name string, beginnings []string) bool {
	for _, b := range beginnings {
		if strings.HasPrefix(name, b) {
			return true
		}
	}
	return false
}

// hideOutside covers what would show or touch the kernel outside: its swap, and the key that reboots it.
func hideOutside() error {
	const dir = "/run/.hide"
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for path, content := range map[string]string{
		"/proc/swaps":         "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
		"/proc/sysrq-trigger": "",
	} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without it
		}
		file := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(file, []byte(content), 0o444); err != nil {
			return err
		}
		if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.RemoveAll(dir)
}

// networkDefaults undoes what a new network namespace inherits from the machine outside (net.core.devconf_inherit_init_net).
func networkDefaults() error {
	for _, conf := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+conf+"/forwarding", []byte("0"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// forbidCalls refuses, with "operation not permitted", what CAP_SYS_ADMIN allows but what belongs to the whole kernel. The
// capabilities that allow nothing else are not given to the machine in the first place.
func forbidCalls() error {
	const clear, readClear, consoleOff, consoleOn, consoleLevel = 5, 4, 6, 7, 8 // actions of syslog(2)
	var log []seccomp.NameWithConditions
	for _, action := range []uint64{readClear, clear, consoleOff, consoleOn, consoleLevel} {
		log = append(log, seccomp.NameWithConditions{Name: "syslog", Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.Equal, Value: action}}})
	}
	return seccomp.LoadFilter(seccomp.Filter{
		Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Names:              []string{"swapon", "swapoff", "kexec_load", "kexec_file_load", "acct"},
				NamesWithCondtions: log,
				Action:             seccomp.ActionErrno,
			}},
		},
	})
}

// forbidForeignCalls refuses every system call that is not of the machine's own architecture: those of 32-bit programs have
// other numbers, which the filter of forbidCalls does not look at.
func forbidForeignCalls() error {
	native, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("architecture %s is not supported", runtime.GOARCH)
	}
	const archOffset = 4 // struct seccomp_data: int nr; __u32 arch (linux/seccomp.h)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: archOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: native, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}

// vanish takes this program out of the machine's file system.
func vanish() error {
	if err := unix.Unmount(Program, unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove(Program)
}

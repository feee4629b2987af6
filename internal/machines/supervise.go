package machines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/machines/inside"
)

// Parts of a machine's control group: the process that runs it, and everything that runs in it.
const (
	supervisor = "supervisor"
	payload    = "machine"
)

// restartCode is the exit code of systemd-nspawn when a machine asks for a restart (with --keep-unit, see
// src/nspawn/nspawn.c of systemd 252); zero is when it asks to be switched off.
const restartCode = 133

// startSupervisor starts the process that runs a machine, born into the machine's control group, in a session and a mount
// namespace of its own. It outlives the caller.
func (s *Set) startSupervisor(m machine, g cgroup) error {
	group, err := os.Open(g.sub(supervisor).v2())
	if err != nil {
		return err
	}
	defer group.Close()
	console, err := os.OpenFile(s.consoleFile(m.Name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	// Mounts that end outside end in the machine's mount namespace, too; where the mounts outside are private, leaveMounts
	// drops what matters.
	cmd := exec.Command("unshare", "--mount", "--propagation=slave", "--", s.config.Program, "machines", "supervise", m.Name, "--set", s.config.Name, "--cache-dir", s.config.CacheDir)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s to run machine %s: %w", s.config.Program, m.Name, err)
	}
	return cmd.Process.Release()
}

// Supervise runs a machine until it is switched off: its power supply, so to say. It is called in a process of its own
// that startSupervisor made, and says everything on the machine's console.
func (s *Set) Supervise(ctx context.Context, name string) error {
	// The machine's processes get their v1 control groups from this thread, and die with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	picked, err := s.pick([]string{name})
	if err != nil {
		return err
	}
	m := picked[0]
	st, err := s.load()
	if err != nil {
		return err
	}
	g, err := s.cgroup(name)
	if err != nil {
		return err
	}
	if err := g.sub(supervisor).joinV1(); err != nil {
		return err
	}
	set, err := netns.GetFromPath(s.netnsPath())
	if err != nil {
		return fmt.Errorf("opening the set's network: %w", err)
	}
	defer set.Close()
	if err := s.leaveMounts(); err != nil {
		return err
	}
	if err := s.mountDisk(m); err != nil {
		return err
	}
	if err := s.install(m, st.Subnet); err != nil {
		return fmt.Errorf("installing the machine: %w", err)
	}
	for {
		// What was ordered may have changed since the last boot.
		m = machine{}
		if err := readJSON(s.machineFile(name, "machine.json"), &m); err != nil {
			return err
		}
		again, err := s.boot(ctx, m, st.Subnet, g, set)
		if err != nil || !again {
			return err
		}
		fmt.Println("machine restarts")
	}
}

// leaveMounts drops from this process' mount namespace what would keep other machines' and sets' things alive, and covers
// /run, where systemd-nspawn leaves traces.
func (s *Set) leaveMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	networks, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("nsfs"))
	if err != nil {
		return err
	}
	for _, m := range networks {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("%s: %w", m.Mountpoint, err)
		}
	}
	return unix.Mount("machine", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
}

// boot runs the machine once, until it is switched off or wants to start again.
func (s *Set) boot(ctx context.Context, m machine, n subnet, g cgroup, set netns.NsHandle) (again bool, err error) {
	own, err := s.plugIn(m, n, set)
	if err != nil {
		return false, err
	}
	defer own.Close()
	group, err := freshPayload(ctx, g.sub(payload))
	if err != nil {
		return false, err
	}
	defer group.Close()
	nspawn := exec.CommandContext(ctx, "systemd-nspawn", nspawnArgs(m, s.config.Program, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(own)))...)
	nspawn.Stdout, nspawn.Stderr = os.Stdout, os.Stderr
	nspawn.Env = append(os.Environ(), "SYSTEMD_SECCOMP=0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", "SYSTEMD_NSPAWN_USE_CGNS=1")
	nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := g.sub(payload).joinV1(); err != nil {
		return false, err
	}
	err = errors.Join(nspawn.Start(), g.sub(supervisor).joinV1())
	if err != nil {
		return false, err
	}
	err = nspawn.Wait()
	if err == nil {
		return false, nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == restartCode {
		return true, nil
	}
	return false, fmt.Errorf("systemd-nspawn: %w", err)
}

// freshPayload makes the control group of what runs in a machine, anew for each boot: in v2, one that has had children
// takes no process itself, and a kubelet that finds groups of an earlier boot does not start.
func freshPayload(ctx context.Context, g cgroup) (*os.File, error) {
	if err := g.remove(ctx); err != nil {
		return nil, err
	}
	if err := g.create(); err != nil {
		return nil, err
	}
	if err := attachGuard(g.v2()); err != nil {
		return nil, err
	}
	return os.Open(g.v2())
}

// droppedCapabilities is what machines lack of what a server has (clusters need nearly all of it): what has no other use
// than to change the kernel outside: its clock, its modules, its hardware, its power.
var droppedCapabilities = []string{"CAP_SYS_TIME", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND"}

func nspawnArgs(m machine, program, network string) []string {
	args := []string{
		"--quiet", "--directory=" + rootMount, "--machine=" + m.Name, "--hostname=" + m.Name,
		"--register=no", "--keep-unit", "--private-users=no", "--network-namespace-path=" + network,
		"--capability=all", "--drop-capability=" + strings.Join(droppedCapabilities, ","),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
		"--bind-ro=" + program + ":" + inside.Program,
	}
	// Devices that container runtimes and kubelets open, where the kernel has them.
	for _, dev := range []string{"/dev/kmsg", "/dev/net/tun", "/dev/fuse"} {
		if _, err := os.Stat(dev); err == nil {
			args = append(args, "--bind="+dev)
		}
	}
	return append(args, inside.Program, "machines", "boot")
}

// initPID finds the machine's first process as it is numbered outside.
func (g cgroup) initPID() (int, error) {
	pids, err := g.sub(payload).pids()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
		if err != nil {
			continue // it ended
		}
		for line := range strings.Lines(string(status)) {
			// NSpid lists its number in each PID namespace, ours first. A container in the machine has a third.
			if f := strings.Fields(line); len(f) == 3 && f[0] == "NSpid:" && f[2] == "1" {
				return pid, nil
			}
		}
	}
	return 0, errors.New("it has no first process")
}

package machines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// requiredTools are the programs that machines are made with, and Debian's packages that hold them.
var requiredTools = []struct{ program, debianPackage string }{
	{"systemd-nspawn", "systemd-container"},
	{"mmdebstrap", "mmdebstrap"},
	{"nft", "nftables"},
	{"mkfs.ext4", "e2fsprogs"},
	{"mount", "mount"},
	{"unshare", "util-linux"},
	{"nsenter", "util-linux"},
	{"ssh", "openssh-client"},
}

// sharedModules are parts of the kernel that clusters use, that the kernel does not load by itself at their first use, and
// that machines cannot load, because they share the kernel outside. Where the kernel has them built in, or not at all,
// nothing can be done and nothing is said.
var sharedModules = []string{"br_netfilter", "nf_conntrack", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh"}

// checkRequirements returns one error that names everything that this computer lacks, and how to get it.
func (s *Set) checkRequirements() error {
	var missing []string
	var packages []string
	for _, t := range requiredTools {
		if _, err := exec.LookPath(t.program); err != nil {
			missing = append(missing, "the program "+t.program)
			if !slices.Contains(packages, t.debianPackage) {
				packages = append(packages, t.debianPackage)
			}
		}
	}
	if len(packages) > 0 {
		missing = append(missing, "  on Debian: apt-get install --no-install-recommends "+strings.Join(packages, " "))
	}
	for _, p := range []struct {
		what  string
		probe func() error
	}{
		{"control groups", probeCgroups},
		{"overlay file systems", probeFileSystem("overlay")},
		{"ext4 file systems", probeFileSystem("ext4")},
		{"loop devices", probeLoop},
		{"network namespaces and bridges", probeNetwork},
		{"rules for bridges", probeRules},
		{"room for disks", s.probeRoom},
	} {
		if err := p.probe(); err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", p.what, err))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("local machines cannot run on this computer; it lacks:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}

// probeCgroups tries on a real group what machines need of one.
func probeCgroups() error {
	trees, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	dropDeadProbes()
	g := cgroup{trees, probeGroup + strconv.Itoa(os.Getpid())}
	if err := os.Mkdir(g.v2(), 0o755); err != nil {
		return fmt.Errorf("making a group: %w (is this a container without privileges?)", err)
	}
	defer func() { _ = os.Remove(g.v2()) }()
	if _, err := os.Stat(filepath.Join(g.v2(), "cgroup.kill")); err != nil {
		return errors.New("cgroup.kill, which came with Linux 5.14; a newer kernel is needed")
	}
	if err := attachGuard(g.v2()); err != nil {
		return fmt.Errorf("%w (kernel options CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF, and the capabilities SYS_ADMIN and BPF)", err)
	}
	for _, need := range []string{"cpu", "memory", "pids"} {
		if !slices.ContainsFunc(trees, func(h hierarchy) bool { return slices.Contains(h.controllers, need) }) {
			return fmt.Errorf("controller %s is not mounted", need)
		}
	}
	return nil
}

const probeGroup = "kubewright-probe-"

// dropDeadProbes removes what processes that were killed in probeCgroups left.
func dropDeadProbes() {
	trees, err := cgroupHierarchies()
	if err != nil {
		return // whoever needs them says so
	}
	groups, _ := filepath.Glob(filepath.Join(trees[0].mount, probeGroup+"*"))
	for _, g := range groups {
		if _, err := os.Stat("/proc/" + strings.TrimPrefix(filepath.Base(g), probeGroup)); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(g)
		}
	}
}

func probeFileSystem(name string) func() error {
	return func() error {
		loadModules(name)
		known, err := os.ReadFile("/proc/filesystems")
		if err != nil {
			return err
		}
		if !slices.Contains(strings.Fields(string(known)), name) {
			return fmt.Errorf("the kernel does not know them; load the module: modprobe %s", name)
		}
		return nil
	}
}

func probeLoop() error {
	loadModules("loop")
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("%w; load the module: modprobe loop", err)
	}
	return nil
}

func probeNetwork() error {
	return onThread(func() error {
		ns, err := netns.New()
		if err != nil {
			return fmt.Errorf("network namespaces: %w", err)
		}
		defer ns.Close()
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "probe"}}); err != nil {
			return fmt.Errorf("a bridge: %w; load the module: modprobe bridge", err)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}); err != nil {
			return fmt.Errorf("a veth pair: %w; load the module: modprobe veth", err)
		}
		return nil
	})
}

func probeRules() error {
	for _, tool := range []string{"nft", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil // already reported, with its package
		}
	}
	nft := exec.Command("unshare", "--net", "nft", "-f", "-")
	nft.Stdin = strings.NewReader(trafficRules([][2]string{{everybody, "a"}}, map[string]string{"a": "a"}))
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nftables for bridges: %w: %s; load the modules: modprobe -a nf_tables nft_meta_bridge", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// probeRoom asks for what the root file system and a few machines' first writes take.
func (s *Set) probeRoom() error {
	const need = 2 << 30
	for _, dir := range []string{s.config.StateDir, s.config.CacheDir} {
		free, err := roomFor(dir)
		if err != nil {
			return err
		}
		if free < need {
			return fmt.Errorf("%d MiB are free for %s, want %d; make room, or put a larger disk there", free>>20, dir, need>>20)
		}
	}
	return nil
}

// loadModules asks for kernel modules where the kernel has any. Whether it worked shows when they are used.
func loadModules(names ...string) {
	if _, err := os.Stat("/proc/modules"); err == nil {
		_ = exec.Command("modprobe", append([]string{"--quiet", "--all"}, names...)...).Run()
	}
}

// prepareKernel changes the two things of the computer outside that machines need and cannot have of their own, and says
// so: loaded modules, and the number of inotify instances, which root in all machines together may not exceed.
func (s *Set) prepareKernel() {
	s.loadShared()
	const enough = 8192
	const file = "/proc/sys/fs/inotify/max_user_instances"
	content, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && now < enough {
		if err := os.WriteFile(file, fmt.Appendf(nil, "%d", enough), 0o644); err != nil {
			s.config.Progress("", fmt.Sprintf("fs.inotify.max_user_instances of this computer is %d and cannot be raised (%v): many machines may fail to start services", now, err))
		} else {
			s.config.Progress("", fmt.Sprintf("raised fs.inotify.max_user_instances of this computer from %d to %d, until it restarts: all machines share it", now, enough))
		}
	}
}

// loadShared loads modules that machines cannot load, and says which. br_netfilter would make bridged packets of other
// programs outside pass this computer's firewall from then on; that is undone. Machines have a setting of their own.
func (s *Set) loadShared() {
	isLoaded := func(module string) bool { _, err := os.Stat("/sys/module/" + module); return err == nil }
	before := slices.DeleteFunc(slices.Clone(sharedModules), func(m string) bool { return !isLoaded(m) })
	loadModules(sharedModules...)
	var loaded []string
	for _, m := range sharedModules {
		if isLoaded(m) && !slices.Contains(before, m) {
			loaded = append(loaded, m)
		}
	}
	if len(loaded) == 0 {
		return
	}
	s.config.Progress("", "loaded into this computer's kernel, until it restarts: "+strings.Join(loaded, ", "))
	if slices.Contains(loaded, "br_netfilter") {
		for _, family := range []string{"iptables", "ip6tables", "arptables"} {
			file := "/proc/sys/net/bridge/bridge-nf-call-" + family
			if err := os.WriteFile(file, []byte("0"), 0o644); err != nil {
				s.config.Progress("", fmt.Sprintf("could not keep bridges of this computer apart from its firewall: %v", err))
			}
		}
	}
}

// roomFor says how many bytes are free where a path is, or will be.
func roomFor(path string) (int64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(path, &st)
		if err == nil {
			return int64(st.Bavail) * st.Bsize, nil
		}
		if !errors.Is(err, unix.ENOENT) || path == "/" {
			return 0, err
		}
		path = filepath.Dir(path)
	}
}

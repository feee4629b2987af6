package agent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// InventoryFile is where control planes remember the hosts of the cluster.
const InventoryFile = Dir + "/inventory.json"

// clocks are units that keep the clock, by the names that they have in distributions.
var clocks = []string{"chrony.service", "chronyd.service", "systemd-timesyncd.service", "ntp.service", "ntpd.service", "ntpsec.service", "openntpd.service"}

// resolver is the unit that answers for names on loopback.
const resolver = "systemd-resolved.service"

// Gather finds out what the machine is that this process runs on.
func Gather(ctx context.Context, env *resource.Env) (facts.Host, error) {
	g := gathering{ctx: ctx, env: env}
	f := facts.Host{Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Free: map[string]uint64{}}
	f.Identity = g.identity()
	f.Inventory = g.inventory()
	boot, err := bootID(env)
	g.note(err)
	f.BootID = boot
	f.Hostname, err = env.Kernel.Hostname()
	g.note(err)
	f.OS = parseOS(g.text("/etc/os-release"))
	if f.OS.ID == "" {
		f.OS = parseOS(g.text("/usr/lib/os-release"))
	}
	f.Kernel = g.text("/proc/sys/kernel/osrelease")
	f.Memory = memory(g.text("/proc/meminfo"))
	f.Cgroup = g.cgroup()
	g.systemd(&f)
	capabilities := boundingSet(g.text("/proc/1/status"))
	f.RaisePriority = capabilities&(1<<unix.CAP_SYS_RESOURCE) != 0
	f.SetClock = capabilities&(1<<unix.CAP_SYS_TIME) != 0
	if held, err := env.Files.List(manifests); err == nil && len(held) > 0 {
		f.Carries = append(f.Carries, manifests)
	}
	f.Kubernetes = g.kubernetes()
	f.Ways = g.ways()
	f.NameServers = g.nameServers()
	f.WritesHosts = g.writesHosts()
	_, err = env.Files.Stat("/lib/modules/" + f.Kernel)
	f.LoadModules = capabilities&(1<<unix.CAP_SYS_MODULE) != 0 && err == nil
	f.SELinux = g.selinux()
	f.AppArmor = g.text("/sys/module/apparmor/parameters/enabled") == "Y" // as containerd asks (its pkg/apparmor)
	switch {
	case g.there("/usr/bin/apt-get"):
		f.Packages = "apt"
	case g.there("/usr/bin/dnf"):
		f.Packages = "dnf"
	}
	f.Chrony = g.there("/usr/sbin/chronyd")
	f.Addresses, f.Interfaces, err = addresses()
	g.note(err)
	for _, dir := range []string{"/", "/var/lib"} {
		f.Free[dir], err = env.Files.Free(dir)
		g.note(err)
	}
	f.Clock = env.Kernel.Now() // last, so that its offset is known best
	return f, errors.Join(g.failed...)
}

// gathering collects what cannot be found out.
type gathering struct {
	ctx    context.Context
	env    *resource.Env
	failed []error
}

func (g *gathering) note(err error) {
	if err != nil {
		g.failed = append(g.failed, err)
	}
}

// text of a file, without what is white at its ends; empty if there is none.
func (g *gathering) text(path string) string {
	b, err := (&ownedList{files: g.env.Files}).content(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.note(fmt.Errorf("reading %s: %w", path, err))
	}
	return strings.TrimSpace(string(b))
}

func (g *gathering) there(path string) bool {
	_, err := g.env.Files.Stat(path)
	return err == nil
}

func (g *gathering) json(path string, v any) bool {
	s := g.text(path)
	if s == "" {
		return false
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		g.note(fmt.Errorf("%s cannot be understood: %w", path, err))
		return false
	}
	return true
}

func (g *gathering) identity() facts.Identity {
	var i facts.Identity
	g.json(resource.IdentityPath, &i)
	i.Machine = machineName(g.text("/etc/machine-id"))
	return i
}

// machineName is made of the machine ID with a key of this program's own, as sd_id128_get_machine_app_specific(3) does: the ID itself is confidential.
func machineName(id string) string {
	if id == "" {
		return ""
	}
	h := hmac.New(sha256.New, []byte(id))
	h.Write([]byte("kubewright"))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (g *gathering) inventory() *facts.Inventory {
	var i facts.Inventory
	if !g.json(InventoryFile, &i) {
		return nil
	}
	return &i
}

// parseOS reads os-release(5).
func parseOS(text string) facts.OS {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		if unquoted, err := strconv.Unquote(v); err == nil {
			v = unquoted
		}
		values[k] = strings.Trim(v, "'")
	}
	return facts.OS{ID: values["ID"], Like: strings.Fields(values["ID_LIKE"]), Version: values["VERSION_ID"], Name: values["PRETTY_NAME"]}
}

// memory in bytes, as /proc/meminfo says.
func memory(text string) uint64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseUint(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// boundingSet is the set of capabilities that the first process and all others can have, as /proc/1/status says.
func boundingSet(text string) uint64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return set
		}
	}
	return 0
}

// cgroup is 2 where /sys/fs/cgroup is the one hierarchy.
func (g *gathering) cgroup() int {
	switch {
	case g.there("/sys/fs/cgroup/cgroup.controllers"):
		return 2
	case g.there("/sys/fs/cgroup/memory"), g.there("/sys/fs/cgroup/systemd"):
		return 1
	}
	return 0
}

// containers are the names that systemd-detect-virt(1) has for them.
var containers = []string{"openvz", "lxc", "lxc-libvirt", "systemd-nspawn", "docker", "podman", "rkt", "wsl", "proot", "pouch", "container-other"}

// systemd asks for its version, and what it knows of the machine; nothing where it does not run.
func (g *gathering) systemd(f *facts.Host) {
	if !g.there("/run/systemd/system") {
		return
	}
	about, err := g.env.Systemd.About(g.ctx)
	g.note(err)
	f.Virtualization = about.Virtualization
	f.Container = slices.Contains(containers, about.Virtualization)
	// "252.38-1~deb12u1", "v255"
	number := strings.TrimLeft(about.Version, "v")
	if end := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		number = number[:end]
	}
	f.Systemd, _ = strconv.Atoi(number)
	names := slices.Concat(clocks, carriers, []string{resolver, firewalld}, otherFirewalls)
	found, err := g.env.Systemd.Units(g.ctx, names...)
	g.note(err)
	units := map[string]resource.UnitState{}
	for i, u := range found {
		units[names[i]] = u
	}
	f.Resolver = len(active([]string{resolver}, units)) > 0
	f.Clocks = active(clocks, units)
	f.Carries = active(carriers, units)
	// A firewall that is stopped for a moment is still the machine's: what it lets in would be shut out with its next start.
	switch {
	case g.used(firewalld, units):
		f.Firewall = "firewalld"
	case g.there("/usr/sbin/ufw") && strings.Contains(g.text("/etc/ufw/ufw.conf"), "ENABLED=yes"):
		f.Firewall = "ufw"
	}
	for _, unit := range otherFirewalls {
		if g.used(unit, units) {
			f.OtherFirewalls = append(f.OtherFirewalls, unit)
		}
	}
}

// active are those of some units that are active, in order. What another of them is an alias of is not named twice.
func active(names []string, units map[string]resource.UnitState) []string {
	var found []string
	for _, name := range names {
		if u := units[name]; u.Active == "active" && u.Name == name {
			found = append(found, name)
		}
	}
	return found
}

// used says whether a unit is active, or will be after a restart. One that is not there is neither, as it is on most machines, and need not be asked for.
func (g *gathering) used(name string, units map[string]resource.UnitState) bool {
	switch u := units[name]; {
	case u.Active == "active":
		return true
	case u.Load == "not-found":
		return false
	}
	u, err := g.env.Systemd.Unit(g.ctx, name)
	g.note(err)
	return u.File == "enabled"
}

// firewalld is the unit of the firewall that can be asked to let something in.
const firewalld = "firewalld.service"

// otherFirewalls are units that load rules which nobody can be asked to add to.
var otherFirewalls = []string{"nftables.service", "netfilter-persistent.service", "iptables.service"}

// carriers are units that run containers, or a cluster's Pods.
var carriers = []string{"kubelet.service", "docker.service", "containerd.service", "crio.service", "k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service"}

// manifests is where kubelets find Pods of their own.
const manifests = "/etc/kubernetes/manifests"

// writesHosts says where cloud-init is told to write /etc/hosts: in its own settings, the last of which counts, or in what the cloud gave the machine, which
// counts more (docs.cloud-init.io, "Configuration priority" and "Update Etc Hosts").
func (g *gathering) writesHosts() string {
	const dir = "/etc/cloud/cloud.cfg.d"
	if !g.there("/etc/cloud/cloud.cfg") || g.there("/etc/cloud/cloud-init.disabled") {
		return ""
	}
	files := []string{"/etc/cloud/cloud.cfg"}
	more, err := g.env.Files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.note(fmt.Errorf("listing %s: %w", dir, err))
	}
	for _, name := range more {
		if strings.HasSuffix(name, ".cfg") {
			files = append(files, dir+"/"+name)
		}
	}
	said := ""
	for _, file := range append(files, "/var/lib/cloud/instance/cloud-config.txt") {
		for line := range strings.Lines(g.text(file)) {
			value, ok := strings.CutPrefix(line, "manage_etc_hosts:")
			if !ok {
				continue
			}
			value, _, _ = strings.Cut(value, "#")
			value = strings.ToLower(strings.Trim(strings.TrimSpace(value), `"'`))
			said = ""
			if value == "true" || value == "template" || value == "localhost" {
				said = file + ": manage_etc_hosts: " + value
			}
		}
	}
	return said
}

func (g *gathering) selinux() string {
	switch g.text("/sys/fs/selinux/enforce") {
	case "1":
		return "enforcing"
	case "0":
		return "permissive"
	}
	return ""
}

// notOwn are the names that interfaces begin with which networks of containers make.
var notOwn = []string{"cni", "flannel", "cali", "tunl", "vxlan", "veth", "docker", "br-", "virbr", "kube-", "nodelocal", "lxc", "cilium"}

// addresses of this machine that others may reach it by, the best first, and the interfaces that have them.
func addresses() ([]netip.Addr, []facts.Interface, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	routes, err := dump(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, nil, fmt.Errorf("listing routes: %w", err)
	}
	leaves := map[int]bool{}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			leaves[r.LinkIndex] = true
		}
	}
	var found []address
	for _, l := range links {
		name, index := l.Attrs().Name, l.Attrs().Index
		if slices.ContainsFunc(notOwn, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		all, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
		if err != nil {
			return nil, nil, fmt.Errorf("listing addresses of %s: %w", name, err)
		}
		for _, a := range all {
			if ip, ok := netip.AddrFromSlice(a.IP); ok {
				ones, _ := a.Mask.Size()
				found = append(found, address{ip: ip.Unmap(), bits: ones, flags: a.Flags, link: index, name: name, mtu: l.Attrs().MTU, leaves: leaves[index]})
			}
		}
	}
	return bestFirst(found), interfaces(found), nil
}

// interfaces are those that addresses are on which others may reach, in the order in which they are found.
func interfaces(found []address) []facts.Interface {
	var list []facts.Interface
	for _, a := range found {
		if !a.global() {
			continue
		}
		if n := len(list); n == 0 || list[n-1].Name != a.name {
			list = append(list, facts.Interface{Name: a.name, MTU: a.mtu})
		}
		last := &list[len(list)-1]
		last.Addresses = append(last.Addresses, netip.PrefixFrom(a.ip, a.bits))
	}
	return list
}

// dumps are how often the kernel is asked for a list that changes meanwhile.
const dumps = 5

// dump asks the kernel for a list, and again when it changed meanwhile so that some of it may be missing.
func dump[T any](ask func() ([]T, error)) (list []T, err error) {
	for range dumps {
		if list, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

// address of an interface.
type address struct {
	ip     netip.Addr
	bits   int // of its prefix
	flags  int // IFA_F_…
	link   int // index of the interface
	name   string
	mtu    int  // of the interface, in bytes
	leaves bool // the default route leaves by the interface
}

// passing says whether it will be gone soon: one of IPv6 that is made anew every day, or one that is to be used no more.
func (a address) passing() bool {
	// What is temporary of IPv6 is secondary of IPv4.
	return a.flags&unix.IFA_F_DEPRECATED != 0 || a.ip.Is6() && a.flags&unix.IFA_F_TEMPORARY != 0
}

// beside says whether it is one without a network beside one with one, as addresses are that wander between machines. Some clouds give nothing else.
func (a address) beside(all []address) bool {
	return a.bits == a.ip.BitLen() && slices.ContainsFunc(all, func(b address) bool {
		return b.link == a.link && b.ip.Is4() == a.ip.Is4() && b.bits < b.ip.BitLen() && b.global() && !b.passing()
	})
}

func (a address) global() bool { return !a.ip.IsLoopback() && !a.ip.IsLinkLocalUnicast() }

// bestFirst are the addresses that others may reach the machine by: first those of the interface that the default route leaves by, last those that pass or wander.
func bestFirst(found []address) []netip.Addr {
	var first, others, last []netip.Addr
	for _, a := range found {
		switch {
		case !a.global():
		case a.passing() || a.beside(found):
			last = append(last, a.ip)
		case a.leaves:
			first = append(first, a.ip)
		default:
			others = append(others, a.ip)
		}
	}
	return slices.Concat(first, others, last)
}

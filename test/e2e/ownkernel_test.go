//go:build ownkernel

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/bundle"
)

// The computer under test has an address of its own; beside it, in a network namespace, there is another that knows the time and knocks at its ports.
const (
	ownName      = "cp1"
	ownAddress   = "198.18.0.11"
	ownGateway   = "198.18.1.1" // its address on the way to the other
	otherAddress = "198.18.1.2"
)

// TestOwnKernel makes the computer that it runs on a host of a cluster and takes that back: what local machines, which share a kernel, cannot show.
// The computer is a virtual one that is thrown away (see TestOtherControlGroups): hence the build tag.
func TestOwnKernel(t *testing.T) {
	timeIsRight := ownComputer(t)
	o := ownOperator(t)
	ownSettings(t)
	before := snapshotOf(shell(t, ownSnapshot))
	t.Logf("%d lines of what the computer is", len(before))
	firewall := firewallRules(t)
	parameters := shell(t, "sysctl -n "+strings.Join(oddNames(), " "))

	// A clock that is ahead: the operator's, on the same computer, is as wrong, so this is not seen before but by asking a server.
	shell(t, "date --set '10 seconds' >/dev/null")
	if r := o.run(t, "plan", "--detailed-exitcode"); r.code != 2 {
		t.Fatalf("the first plan exits with %d and says:\n%s%s", r.code, r.stdout, r.stderr)
	} else {
		t.Logf("the plan:\n%s%s", r.stdout, r.stderr)
	}
	o.must(t, "apply", "--yes")
	t.Logf("where the time went:\n%s", o.must(t, "runs", "show"))
	o.nothing(t, "after apply")
	running := shell(t, runningScript)
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "nothing to do") {
		t.Errorf("a second apply says:\n%s", got)
	}
	if now := shell(t, runningScript); now != running {
		t.Errorf("a second apply restarted something:\n%s\n%s", running, now)
	}

	ownSwapIsOff(t, "after apply")
	ownKernelIsSet(t, "after apply")
	ownFirewallLetsIn(t, "after apply", firewall)
	ownClockIsRight(t, timeIsRight)
	ownLimits(t, o)
	ownContainers(t, o)

	// What is said for the next boot says the same.
	shell(t, "sysctl -q --load=/etc/sysctl.conf; modprobe -r br_netfilter ip_vs_sh ip_vs_wrr ip_vs_rr ip_vs; sysctl -qw net.ipv4.ip_forward=0")
	shell(t, "systemctl daemon-reload; systemctl restart systemd-modules-load systemd-sysctl ufw; systemctl start swap.target; swapon --all")
	ownSwapIsOff(t, "as after a boot")
	ownKernelIsSet(t, "as after a boot")
	ownFirewallLetsIn(t, "as after a boot", firewall)
	o.nothing(t, "with what boots set")

	o.must(t, "reset", "--all", "--yes")
	after := snapshotOf(shell(t, ownSnapshot))
	for _, line := range difference(before, after) {
		if line != "new: unit time-sync.target loaded active active" { // a program that keeps the clock said that it is right, and it is
			t.Errorf("after reset: %s", line)
		}
	}
	if now := shell(t, "sysctl -n "+strings.Join(oddNames(), " ")); now != parameters {
		t.Errorf("kernel parameters after reset are\n%s\nnot\n%s", now, parameters)
	}
	if now := firewallRules(t); now != firewall {
		t.Errorf("the firewall's rules after reset are\n%s\nnot\n%s", now, firewall)
	}
}

// shell runs a command of bash on this computer; it must succeed.
func shell(t testing.TB, command string) string {
	t.Helper()
	start := time.Now()
	r := run(t, "bash", "-o", "pipefail", "-c", command)
	t.Logf("%5.1fs  %.80q", time.Since(start).Seconds(), command)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", command, r.code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// expect fails the test unless a command says some words.
func expect(t testing.TB, when, want, command string) {
	t.Helper()
	if got := strings.Join(strings.Fields(shell(t, command)), " "); got != want {
		t.Errorf("%s: %s says %q, not %q", when, command, got, want)
	}
}

// ownComputer gives this computer addresses and somebody to ask for the time, and returns how far the clock is from it.
func ownComputer(t *testing.T) (offset func() time.Duration) {
	t.Helper()
	shell(t, `set -e
ip link add eth0 type dummy && ip addr add `+ownAddress+`/24 dev eth0 && ip link set eth0 up
ip netns add other
ip link add veth-other type veth peer name eth0 netns other
ip addr add `+ownGateway+`/24 dev veth-other && ip link set veth-other up
ip -n other addr add `+otherAddress+`/24 dev eth0 && ip -n other link set eth0 up && ip -n other link set lo up
mv /etc/modules-load.d/vm.conf /root/
modprobe -r br_netfilter
ls /proc/sys/fs/binfmt_misc >/dev/null`) // whoever looks mounts it
	begin := time.Now() // with the monotonic clock, which stays right
	now := func() time.Time { return begin.Round(0).Add(time.Since(begin)) }
	serveTime(t, now)
	return func() time.Duration { return time.Now().Round(0).Sub(now()) }
}

// serveTime answers whoever asks for the time at the other address.
func serveTime(t *testing.T, now func() time.Time) {
	t.Helper()
	opened := make(chan error)
	var socket int
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends, and with it its being elsewhere
		opened <- func() error {
			netns, err := os.Open("/run/netns/other")
			if err != nil {
				return err
			}
			defer func() { _ = netns.Close() }()
			if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			if socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return err
			}
			return unix.Bind(socket, &unix.SockaddrInet4{Port: 123, Addr: netip.MustParseAddr(otherAddress).As4()})
		}()
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 256)
		for {
			n, from, err := unix.Recvfrom(socket, packet, 0)
			if err != nil || n == 0 {
				return // it was shut down
			}
			if n >= 48 {
				_ = unix.Sendto(socket, timeAnswer(packet[:48], now), 0, from) // who gets none asks again
			}
		}
	}()
	t.Cleanup(func() {
		_ = unix.Shutdown(socket, unix.SHUT_RDWR) // says that it is not connected, and wakes the reader all the same
		<-done
		_ = unix.Close(socket)
	})
}

// timeAnswer answers a question of NTP (RFC 5905, section 7.3) as a server that has an atomic clock.
func timeAnswer(question []byte, now func() time.Time) []byte {
	stamp := func() (b [8]byte) {
		t := now()
		seconds := uint64(t.Unix() + 2208988800) // since 1900
		v := seconds<<32 | uint64(t.Nanosecond())<<32/1e9
		for i := range b {
			b[i] = byte(v >> (56 - 8*i))
		}
		return b
	}
	received := stamp()
	a := make([]byte, 48)
	a[0] = question[0]&0o70 | 4             // the version asked in; a server's answer
	a[1], a[2], a[3] = 1, question[2], 0xec // stratum 1; its interval; it is good to a microsecond
	copy(a[12:], "TEST")                    // who it has the time from
	copy(a[16:], received[:])               // when its clock was set
	copy(a[24:], question[40:48])           // when the question left, as it says
	copy(a[32:], received[:])               // when it came
	sent := stamp()
	copy(a[40:], sent[:])
	return a
}

// ownOperator is a person on this computer with a cluster file whose one host is this computer.
func ownOperator(t *testing.T) operator {
	t.Helper()
	o := operator{home: t.TempDir(), dir: t.TempDir(), program: kubewright}
	shell(t, `set -e
systemctl start ssh
mkdir -p -m 700 /root/.ssh `+o.home+`/.ssh
ssh-keygen -q -t ed25519 -N '' -f `+o.home+`/.ssh/id_ed25519
cat `+o.home+`/.ssh/id_ed25519.pub >>/root/.ssh/authorized_keys
echo "`+ownAddress+` $(cut -d ' ' -f 1-2 /etc/ssh/ssh_host_ed25519_key.pub)" >`+o.home+`/.ssh/known_hosts`)
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: own
ssh: {user: root, key: `+o.home+`/.ssh/id_ed25519}
hosts:
- {name: `+ownName+`, address: `+ownAddress+`, roles: [control-plane]}
hostPreparation: {timeZone: Europe/Berlin}
timeSync: {servers: [`+otherAddress+`]}
`)
	return o
}

// oddParameters are kernel parameters that somebody set, all other than they shall be, now and at boot.
var oddParameters = []string{
	"net.ipv4.ip_forward=0", "net.core.somaxconn=1024", "net.ipv4.tcp_keepalive_time=1234", "net.ipv4.neigh.default.gc_thresh1=64",
	"vm.overcommit_memory=0", "fs.inotify.max_user_instances=200", "net.core.bpf_jit_harden=0",
}

func oddNames() []string {
	var names []string
	for _, p := range oddParameters {
		name, _, _ := strings.Cut(p, "=")
		names = append(names, name)
	}
	return names
}

// ownSettings makes this computer one that somebody has used: with swap in three ways, a firewall with rules of its own, and a program that keeps the clock.
func ownSettings(t *testing.T) {
	t.Helper()
	shell(t, `set -e
for n in 1 2 3; do
	fallocate -l ${n}6M /swap$n && chmod 600 /swap$n && mkswap -q /swap$n
done
echo '/swap1 none swap sw,pri=5 0 0' >>/etc/fstab
printf '[Swap]\nWhat=/swap2\n[Install]\nWantedBy=swap.target\n' >/usr/lib/systemd/system/swap2.swap
printf '[Swap]\nWhat=/swap3\n[Install]\nWantedBy=swap.target\n' >/etc/systemd/system/swap3.swap
systemctl daemon-reload
systemctl enable -q swap2.swap swap3.swap
systemctl start swap1.swap && systemctl start swap2.swap && systemctl start swap3.swap # one after the other, since that decides on their order
[ $(wc -l </proc/swaps) = 4 ]
systemctl enable -q --now systemd-timesyncd
printf '%s\n' `+strings.Join(oddParameters, " ")+` >>/etc/sysctl.conf
ln -sf ../sysctl.conf /etc/sysctl.d/99-sysctl.conf
systemctl restart systemd-sysctl
ufw allow 22/tcp
ufw allow proto tcp from 198.18.0.0/15 to any port 9100 comment 'metrics for us'
ufw allow 10250/tcp
ufw --force enable`)
	for port, want := range map[string]bool{"22": true, "9100": true, "10250": true, "6443": false} {
		if got := letIn(t, port); got != want {
			t.Fatalf("port %s is let in: %t", port, got)
		}
	}
}

// ownSnapshot is what this computer is, with what only a kernel of one's own has; but for modules that iptables and nft have loaded for rules,
// which the kernel keeps.
const ownSnapshot = snapshotScript + `
lsmod | awk 'NR > 1 && $1 !~ /^(xt|nft)_/ {print "module", $1}'
systemctl show --property=Id,ActiveState,UnitFileState swap1.swap swap2.swap swap3.swap systemd-timesyncd ufw | paste -s -d ' ' | sed 's/^/state /'
ufw status verbose | sed 's/^/ufw /'
cat /etc/passwd /etc/group | sed 's/^/account /'
apt-mark showmanual | sed 's/^/wanted /'
`

// firewallRules are the rules of the user's, in their order.
func firewallRules(t *testing.T) string {
	t.Helper()
	return shell(t, "ufw show added")
}

// letIn says whether packets to a port of this computer get to it from outside. Nobody needs to listen there: that a connection is refused tells.
func letIn(t *testing.T, port string) bool {
	t.Helper()
	r := run(t, "timeout", "2", "ip", "netns", "exec", "other", "bash", "-c", ": <>/dev/tcp/"+ownGateway+"/"+port)
	switch {
	case r.code == 0 || strings.Contains(r.stderr, "Connection refused"):
		return true
	case r.code == 124: // timeout's
		return false
	}
	t.Fatalf("connecting to port %s: exit code %d, %s", port, r.code, r.stderr)
	return false
}

func ownSwapIsOff(t *testing.T, when string) {
	t.Helper()
	expect(t, when, "", "tail -n +2 /proc/swaps; systemctl list-units --plain --no-legend --state=active '*.swap'; grep '^/swap' /etc/fstab || true")
	expect(t, when, "masked disabled", "systemctl show --value --property=UnitFileState swap2.swap swap3.swap")
}

// ownKernelIsSet compares the kernel with the files that say what it shall be after a boot.
func ownKernelIsSet(t *testing.T, when string) {
	t.Helper()
	modules := shell(t, "lsmod | awk 'NR > 1 {print $1}'; grep -v '^#' /etc/modules-load.d/kubewright.conf | sed 's/^/wanted /'")
	loaded := map[string]bool{}
	wanted := 0
	for line := range strings.Lines(modules) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "wanted ")
		switch {
		case !ok:
			loaded[name] = true
		case name != "":
			wanted++
			if !loaded[name] {
				t.Errorf("%s the module %s is not loaded", when, name)
			}
		}
	}
	text := shell(t, "grep = /etc/sysctl.d/zz-kubewright.conf | grep -v '^#'")
	set := 0
	for line := range strings.Lines(text) {
		name, want, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-"), " = ")
		b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if got := strings.TrimSpace(string(b)); err != nil || got != want {
			t.Errorf("%s %s is %q, not %q (%v)", when, name, got, want, err)
		}
		set++
	}
	if wanted < 5 || set < 20 {
		t.Errorf("%s %d modules and %d parameters are named for boots", when, wanted, set)
	}
}

// ownFirewallLetsIn knocks at ports, and compares the rules with those that the user had.
func ownFirewallLetsIn(t *testing.T, when, before string) {
	t.Helper()
	ports := map[string]bool{"22": true, "9100": true, "6443": true, "2380": true, "10250": true, "30000": true, "32767": true, "5000": false, "32768": false}
	for port, want := range ports {
		if got := letIn(t, port); got != want {
			t.Errorf("%s port %s is let in: %t", when, port, got)
		}
	}
	var others []string
	for line := range strings.Lines(firewallRules(t)) {
		if line = strings.TrimSpace(line); !strings.HasSuffix(line, " comment 'kubewright'") {
			others = append(others, line)
		}
	}
	if got := strings.Join(others, "\n"); got != before {
		t.Errorf("%s the user's rules are\n%s\nnot\n%s", when, got, before)
	}
}

func ownClockIsRight(t *testing.T, offset func() time.Duration) {
	t.Helper()
	if off := offset(); off.Abs() > time.Second {
		t.Errorf("the clock is off by %s", off)
	} else {
		t.Logf("the clock was off by 10 s, and is by %s", off)
	}
	expect(t, "what keeps the clock", "active enabled inactive", "systemctl is-active chrony; systemctl is-enabled chrony; systemctl is-active systemd-timesyncd || true")
	expect(t, "whether the kernel takes the clock for right", "yes", "timedatectl show --value --property=NTPSynchronized")
	expect(t, "the time zone", "/usr/share/zoneinfo/Europe/Berlin Europe/Berlin", "readlink /etc/localtime; cat /etc/timezone")
	if got := shell(t, "chronyc -n tracking"); !strings.Contains(got, otherAddress) {
		t.Errorf("chrony says:\n%s", got)
	}
}

// ownLimits are those of a session that begins now, and of a service that is started now.
func ownLimits(t *testing.T, o operator) {
	t.Helper()
	ssh := "ssh -F none -o BatchMode=yes -o UserKnownHostsFile=" + o.home + "/.ssh/known_hosts -i " + o.home + "/.ssh/id_ed25519 root@" + ownAddress
	expect(t, "limits of a session", "1048576 655350 unlimited", ssh+" 'ulimit -n; ulimit -u; ulimit -l'")
	shell(t, "systemctl daemon-reload")
	// Programs that call select(2) break if they are given more than 1,024 without asking.
	expect(t, "limits of a service", "1048576 1024", "systemd-run --quiet --pipe --wait bash -c 'ulimit -Hn; ulimit -Sn'")
}

// ownContainers starts a Pod by what the kubelet would ask: it runs in a control group that systemd made, with AppArmor's profile of containers.
func ownContainers(t *testing.T, o operator) {
	t.Helper()
	expect(t, "containerd", "active enabled", "systemctl is-active containerd; systemctl is-enabled containerd")
	list := shell(t, "ctr -n k8s.io images ls")
	var all []bundle.Bundle
	if err := json.Unmarshal([]byte(must(t, kubewright, "bundle", "list", "-o", "json")), &all); err != nil || len(all) == 0 {
		t.Fatalf("bundles: %d, %v", len(all), err)
	}
	pause := ""
	for _, p := range showJSON(t, all[0].Kubernetes).Parts { // the newest, which is what apply takes
		if p.Kind != bundle.Image || p.Test || strings.Contains(p.Name, "metrics-server") {
			continue
		}
		if strings.Contains(p.Name, "/pause:") {
			pause = p.Name
		}
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(p.Name) + ` .*io\.cri-containerd\.pinned=pinned`).MatchString(list) {
			t.Errorf("%s is not there, or not pinned:\n%s", p.Name, list)
		}
	}
	dir := t.TempDir()
	write := func(name string, v any) string {
		t.Helper()
		content, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		o.write(t, filepath.Join(dir, name), string(content))
		return filepath.Join(dir, name)
	}
	type object = map[string]any
	network := object{"namespace_options": object{"network": 2}} // the host's
	pod := write("pod.json", object{
		"metadata": object{"name": "p", "namespace": "default", "uid": "1", "attempt": 0},
		"linux":    object{"cgroup_parent": "test.slice", "security_context": network},
	})
	container := write("container.json", object{
		"metadata": object{"name": "c", "attempt": 0}, "image": object{"image": pause},
		"linux": object{"resources": object{"memory_limit_in_bytes": 64 << 20}, "security_context": network},
	})
	sandbox := shell(t, "crictl runp "+pod)
	id := shell(t, fmt.Sprintf("crictl create --no-pull %s %s %s", sandbox, container, pod))
	shell(t, "crictl start "+id)
	pid := shell(t, "crictl inspect --output go-template --template '{{.info.pid}}' "+id)
	expect(t, "AppArmor", "cri-containerd.apparmor.d (enforce)", "cat /proc/"+pid+"/attr/current")
	groups := strings.Split(shell(t, "cat /proc/"+pid+"/cgroup"), "\n")
	if !slices.ContainsFunc(groups, func(g string) bool {
		return (strings.HasPrefix(g, "0::") || strings.Contains(g, ":memory:")) && strings.HasSuffix(g, ":/test.slice/cri-containerd-"+id+".scope")
	}) {
		t.Errorf("a container is in the control groups %q", groups)
	}
	// As systemd has it, by the names of both versions of control groups.
	if got := shell(t, "systemctl show --value --property=MemoryMax,MemoryLimit cri-containerd-"+id+".scope"); !strings.Contains(got, fmt.Sprint(64<<20)) {
		t.Errorf("its limit of memory is %q", got)
	}
	shell(t, "crictl rmp --force "+sandbox+" && systemctl stop test.slice")
}

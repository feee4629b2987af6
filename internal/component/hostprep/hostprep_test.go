package hostprep

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
`

// load makes a model of a cluster file and more of it.
func load(t *testing.T, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file+more))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testBundle() *bundle.Bundle {
	return &bundle.Bundle{Kubernetes: "v1.37.1", Platform: "linux/amd64", Parts: []bundle.Part{{
		Kind: bundle.Packages, Name: "debian-12",
		Blobs: []bundle.Blob{
			{Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}, MediaType: bundle.RepositoryLayer},
			{Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("cd", 32)}, MediaType: bundle.DebianPackageLayer, Title: "xfsprogs_6.1.0-1_amd64.deb"},
		},
	}}}
}

// server is a plain Debian 12, as a virtual machine.
func server(address string) facts.Host {
	return facts.Host{
		BootID: "boot-" + address, Hostname: "debian", OS: facts.OS{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"}, Kernel: "6.1.0-18-amd64",
		Arch: "amd64", Virtualization: "kvm", CPUs: 4, Memory: 8 << 30, Cgroup: 2, Systemd: 252, RaisePriority: true, SetClock: true, LoadModules: true,
		Packages: "apt", Addresses: []netip.Addr{netip.MustParseAddr(address)}, Free: map[string]uint64{"/var/lib": 40 << 30, "/": 40 << 30},
	}
}

// container is a machine that shares its kernel, as local machines are.
func container(address string) facts.Host {
	f := server(address)
	f.BootID, f.Virtualization, f.Container, f.Cgroup, f.Kernel = "shared", "systemd-nspawn", true, 1, "6.18.44"
	f.RaisePriority, f.SetClock, f.LoadModules = false, false, false
	return f
}

// rocky is a machine with enforcing SELinux and firewalld.
func rocky(address string) facts.Host {
	f := server(address)
	f.OS = facts.OS{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}, Version: "9.4", Name: "Rocky Linux 9.4"}
	f.Kernel, f.Packages, f.SELinux, f.Firewall = "5.14.0-427.el9.x86_64", "dnf", "enforcing", "firewalld"
	return f
}

func both(f func(string) facts.Host) map[string]facts.Host {
	return map[string]facts.Host{"cp1": f("10.0.0.11"), "w1": f("10.0.0.21")}
}

func TestSteps(t *testing.T) {
	const settings = `
hostPreparation:
  packages: [xfsprogs]
  timeZone: Europe/Berlin
  openFiles: 2097152
  firewall: disable
  kernelModules: [nbd, ip_vs]
  sysctls: {vm.swappiness: "10", net.core.somaxconn: "", net/ipv4/conf/eth0.100/rp_filter: "2", net.ipv4.tcp_fastopen: "1"}
files:
- {source: motd, path: /etc/motd}
- {source: motd, path: /etc/motd.worker, mode: "0640", owner: root:adm, roles: [worker]}
`
	for _, c := range []struct {
		name  string
		more  string
		hosts map[string]facts.Host
	}{
		{"debian", "", both(server)},
		{"debian-settings", settings, map[string]facts.Host{"w1": server("10.0.0.21")}},
		{"container", "", map[string]facts.Host{"w1": container("10.0.0.21")}},
		{"rocky-holder", "endpoint: {kind: keepalived, address: 10.0.0.10}\n", map[string]facts.Host{"cp1": rocky("10.0.0.11"), "w1": rocky("10.0.0.21")}},
		{"rocky", "", map[string]facts.Host{"cp1": rocky("10.0.0.11")}},
		{"rocky-leave", "\nhostPreparation: {firewall: leave, selinux: leave, swap: true, hostname: false}\n", map[string]facts.Host{"cp1": rocky("10.0.0.11")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.more)
			in := Input{Cluster: model, Hosts: c.hosts, Bundle: testBundle(), TimeServers: model.With(v1alpha1.ControlPlane),
				Packages: func(string) []string { return []string{"chrony", "kmod"} },
				Replace:  map[string][]string{"chrony": {"ntp"}, "not-needed": {"kmod"}}}
			steps, problems := Steps(in)
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestOnlyHostsThatAnsweredHaveSteps(t *testing.T) {
	hosts := both(server)
	delete(hosts, "cp1")
	first := plan.Condition{Name: "first"}
	steps, _ := Steps(Input{Cluster: load(t, ""), Hosts: hosts, Bundle: testBundle(), After: func(string) []plan.Condition { return []plan.Condition{first} }})
	if len(steps) != 1 || steps[0].Host != "w1" || len(steps[0].Requires) != 1 || steps[0].Requires[0].Name != "first" {
		t.Errorf("steps are %+v", steps)
	}
}

// Who carries static Pods and is no node is asked for nothing but those; metrics-server is asked on its host then.
func TestPortsOfHostsThatAreNoNodes(t *testing.T) {
	c := load(t, "controlPlane: {standalone: true}\n")
	c.Hosts = append(c.Hosts, v1alpha1.Host{Name: "e1", Roles: []v1alpha1.Role{v1alpha1.Etcd}})
	open := openPorts(Input{Cluster: c})
	for host, want := range map[string]string{
		"cp1": "6443/tcp", "e1": "2379-2380/tcp", "w1": "10250/tcp 10256/tcp 30000-32767/tcp 30000-32767/udp 8472/udp 4443/tcp",
	} {
		if got := strings.Join(open[host], " "); got != want {
			t.Errorf("%s has %q open; want %q", host, got, want)
		}
	}
	if len(podRanges(c, c.Hosts[0])) > 0 || len(podRanges(c, c.Hosts[1])) == 0 {
		t.Error("a control plane lets in Pods, or a worker does not")
	}
}

// A host that comes must not touch those that are there.
func TestOneMoreWorkerTouchesNoOther(t *testing.T) {
	hosts := both(rocky)
	steps := func(more string) []plan.Step {
		c := load(t, more)
		s, _ := Steps(Input{Cluster: c, Hosts: hosts, Bundle: testBundle(), TimeServers: c.With(v1alpha1.ControlPlane)})
		return s
	}
	before := steps("")
	hosts["w2"] = rocky("10.0.0.22")
	after := steps("- {name: w2, address: 10.0.0.22, roles: [worker]}\n")
	if len(after) != 3 || !reflect.DeepEqual(before, after[:2]) {
		t.Errorf("before:\n%s\nafter:\n%s", plantest.Render(t, before, nil), plantest.Render(t, after, nil))
	}
}

func TestEveryParameterHasAReason(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range parameters {
		if p.value == "" || len(p.why) < 20 || !strings.HasSuffix(p.why, ".") || p.guides == "" {
			t.Errorf("%+v", p)
		}
		if seen[p.name] {
			t.Errorf("%s stands there twice", p.name)
		}
		seen[p.name] = true
	}
	for _, dangerous := range []string{"net.ipv4.tcp_timestamps", "net.ipv4.tcp_tw_recycle", "kernel.threads-max", "fs.file-max", "fs.nr_open"} {
		if seen[dangerous] {
			t.Errorf("%s is set without being asked for", dangerous)
		}
	}
	for _, required := range []string{"net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"} {
		i := indexOf(required)
		if i < 0 || parameters[i].harmless != "" {
			t.Errorf("%s is not required", required)
		}
	}
	for _, m := range kernelModules {
		if m.why == "" || m.guides == "" {
			t.Errorf("%+v", m)
		}
	}
	for _, p := range ports {
		if p.why == "" {
			t.Errorf("%s has no reason", p.ports(load(t, "")))
		}
	}
}

func TestOpenPorts(t *testing.T) {
	for _, c := range []struct {
		name, more  string
		has, hasNot []string // of cp1
	}{
		{"defaults", "", []string{"6443/tcp", "8472/udp", "10250/tcp"}, nil},
		{"another port of the API", "apiServer: {port: 7443}\n", []string{"7443/tcp"}, []string{"6443/tcp"}},
		{"another port of VXLAN", "network: {flannel: {port: 4789}}\n", []string{"4789/udp"}, []string{"8472/udp"}},
		{"routes", "network: {flannel: {backend: host-gw}}\n", []string{"6443/tcp"}, []string{"8472/udp", ""}},
		{"other ports of Services", "apiServer: {extraArgs: {service-node-port-range: 20000-20100}}\n", []string{"20000-20100/tcp", "20000-20100/udp", "10256/tcp"}, []string{"30000-32767/tcp"}},
		{"no kube-proxy", "kubeProxy: {disabled: true}\n", []string{"30000-32767/tcp"}, []string{"10256/tcp", ""}},
		{"an address that wanders", "endpoint: {kind: keepalived, address: 10.0.0.10}\n", []string{"6443/tcp", "16443/tcp", "vrrp"}, []string{"9000/tcp"}},
		{"with statistics", "endpoint: {kind: keepalived, address: 10.0.0.10, keepalived: {balancerPort: 8443, statistics: {credentials: {username: a, passwordFile: motd}}}}\n",
			[]string{"8443/tcp", "9000/tcp", "vrrp"}, []string{"16443/tcp"}},
		{"a balancer of the user's", "endpoint: {kind: external, address: 10.0.0.10}\n", []string{"6443/tcp"}, []string{"16443/tcp", "0/tcp", "vrrp"}},
		{"etcd", "", []string{"2379-2380/tcp"}, []string{"2379/tcp", "2380/tcp", ""}},
		{"etcd at ports of the user's", "etcd: {clientPort: 4001, peerPort: 7001}\n", []string{"4001/tcp", "7001/tcp"}, []string{"2379-2380/tcp", ""}},
		{"a network of the user's", "network: {plugin: none}\n", []string{"6443/tcp"}, []string{"8472/udp", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := openPorts(Input{Cluster: load(t, c.more)})["cp1"]
			for _, p := range c.has {
				if !slices.Contains(open, p) {
					t.Errorf("%s is not among %q", p, open)
				}
			}
			for _, p := range c.hasNot {
				if slices.Contains(open, p) {
					t.Errorf("%q is among %q", p, open)
				}
			}
		})
	}
}

// What a host carries that is to go stays reachable until it has gone: members of etcd that lose each other lose the quorum, and others are led to an API server that ends.
func TestPortsStayOpenForWhatIsThere(t *testing.T) {
	static := func(k facts.Kubernetes) facts.Host { return facts.Host{Kubernetes: k} }
	for _, c := range []struct {
		name, more, want string // of w1, beside those of workers
		host             facts.Host
	}{
		{"nothing", "", "", facts.Host{}},
		{"a member", "", "2379-2380/tcp", static(facts.Kubernetes{Etcd: facts.Etcd{ClientURL: "https://10.0.0.21:2379", PeerURL: "https://10.0.0.21:2380"}})},
		{"a member in two families", "", "2379-2380/tcp", static(facts.Kubernetes{Etcd: facts.Etcd{
			ClientURL: "https://10.0.0.21:2379,https://[fd00::21]:2379", PeerURL: "https://[fd00::21]:2380"}})},
		{"a member at ports of the user's", "", "4001/tcp 7001/tcp", static(facts.Kubernetes{Etcd: facts.Etcd{ClientURL: "https://10.0.0.21:4001", PeerURL: "https://10.0.0.21:7001"}})},
		{"a member for events", "", "2382-2383/tcp", static(facts.Kubernetes{Events: facts.Etcd{ClientURL: "https://10.0.0.21:2382", PeerURL: "https://10.0.0.21:2383"}})},
		{"data of a member that ended", "", "", static(facts.Kubernetes{Etcd: facts.Etcd{Data: true, Log: true}})},
		{"an API server", "", "6443/tcp", static(facts.Kubernetes{Manifests: map[string]string{"kube-apiserver.yaml": "kube-apiserver:1"}})},
		{"an API server at another port", "apiServer: {port: 7443}\n", "7443/tcp", static(facts.Kubernetes{Manifests: map[string]string{"kube-apiserver.yaml": "kube-apiserver:1"}})},
		{"a balancer for itself", "", "", facts.Host{Ways: facts.Ways{Balancer: true}}},
		{"a balancer for others", "", "8443/tcp 9000/tcp vrrp", facts.Host{Ways: facts.Ways{Balancer: true, Address: true, Ports: []int{8443, 9000}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.more)
			worker := openPorts(Input{Cluster: model})["w1"]
			got := openPorts(Input{Cluster: model, Hosts: map[string]facts.Host{"w1": c.host}})["w1"]
			if want := slices.Concat(worker, strings.Fields(c.want)); !slices.Equal(got, want) {
				t.Errorf("%q are open, want %q", got, want)
			}
		})
	}
	model := load(t, "endpoint: {kind: keepalived, address: 10.0.0.10}\n")
	whole := static(facts.Kubernetes{Manifests: map[string]string{"kube-apiserver.yaml": "kube-apiserver:1"},
		Etcd: facts.Etcd{ClientURL: "https://10.0.0.11:2379", PeerURL: "https://10.0.0.11:2380"}})
	whole.Ways = facts.Ways{Balancer: true, Address: true, Ports: []int{16443}}
	if got, want := openPorts(Input{Cluster: model, Hosts: map[string]facts.Host{"cp1": whole}})["cp1"], openPorts(Input{Cluster: model})["cp1"]; !slices.Equal(got, want) {
		t.Errorf("on a host that stays what it is, %q are open, want %q", got, want)
	}
}

func indexOf(name string) int {
	for i, p := range parameters {
		if p.name == name {
			return i
		}
	}
	return -1
}

// What guides B and C set is set, or it is said why not.
func TestNothingOfTheGuidesIsForgotten(t *testing.T) {
	source, err := os.ReadFile("sysctl.go")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(guideB + guideC) {
		short := name[strings.LastIndex(name, ".")+1:] // "net.ipv4.tcp_rmem and tcp_wmem"
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(short) + `\b`).Match(source) {
			t.Errorf("nothing is said of %s", name)
		}
	}
}

const guideB = `net.core.netdev_max_backlog net.core.somaxconn net.ipv4.conf.all.rp_filter net.ipv4.tcp_max_syn_backlog fs.inotify.max_user_instances fs.file-max
fs.inotify.max_user_watches net.core.bpf_jit_enable net.core.bpf_jit_harden net.core.bpf_jit_kallsyms net.core.dev_weight_tx_bias net.core.rmem_max net.core.wmem_max
net.ipv4.tcp_rmem net.ipv4.tcp_wmem net.core.rps_sock_flow_entries net.ipv4.neigh.default.gc_thresh1 net.ipv4.neigh.default.gc_thresh2
net.ipv4.neigh.default.gc_thresh3 net.ipv4.tcp_max_orphans net.ipv4.tcp_max_tw_buckets net.ipv4.tcp_fastopen vm.max_map_count kernel.threads-max net.ipv4.ip_forward
`

const guideC = `net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables fs.may_detach_mounts vm.overcommit_memory vm.panic_on_oom
fs.inotify.max_user_watches fs.file-max fs.nr_open net.netfilter.nf_conntrack_max net.ipv4.tcp_keepalive_time net.ipv4.tcp_keepalive_probes
net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_max_tw_buckets net.ipv4.tcp_tw_reuse net.ipv4.tcp_max_orphans net.ipv4.tcp_orphan_retries net.ipv4.tcp_syncookies
net.ipv4.tcp_max_syn_backlog net.ipv4.ip_conntrack_max net.ipv4.tcp_timestamps net.core.somaxconn net.ipv4.ip_nonlocal_bind
`

// Packages have to be among those that bundles are made with.
func TestBundlesHaveThePackages(t *testing.T) {
	collected, err := os.ReadFile("../../../distro/debian-12.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range needed(Input{Cluster: load(t, "")}, "") {
		if !regexp.MustCompile(`(?m)^- ` + regexp.QuoteMeta(name) + `\b`).Match(collected) {
			t.Errorf("distro/debian-12.yaml collects no %s", name)
		}
	}
}

func TestDotted(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":                   "net.ipv4.ip_forward",
		"net/ipv4/ip_forward":                   "net.ipv4.ip_forward",
		"net/ipv4/conf/eth0.100/rp_filter":      "net.ipv4.conf.eth0/100.rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter":      "net.ipv4.conf.eth0/100.rp_filter",
		"net.bridge.bridge-nf-call-ip6tables":   "net.bridge.bridge-nf-call-ip6tables",
		"net/bridge/bridge-nf-call-ip6tables":   "net.bridge.bridge-nf-call-ip6tables",
		"net/netfilter/nf_conntrack_tcp_loose/": "net.netfilter.nf_conntrack_tcp_loose.",
	} {
		if got := dotted(name); got != want {
			t.Errorf("dotted(%q) = %q; want %q", name, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		more   string
		change func(f *facts.Host) // of cp1
		blocks bool
		says   string
		none   bool
	}{
		{name: "nothing", change: func(*facts.Host) {}, none: true},
		{name: "architecture", change: func(f *facts.Host) { f.Arch = "arm64" }, blocks: true, says: "it is linux/arm64, and the bundle of Kubernetes v1.37.1 is for linux/amd64"},
		{name: "no systemd", change: func(f *facts.Host) { f.Systemd = 0 }, blocks: true, says: "systemd does not run"},
		{name: "old systemd", change: func(f *facts.Host) { f.Systemd = 238 }, blocks: true, says: "its systemd is version 238"},
		{name: "old systemd, cgroup 2", change: func(f *facts.Host) { f.Systemd = 243 }, blocks: true, says: "takes 244"},
		{name: "old systemd, cgroup 1", change: func(f *facts.Host) { f.Systemd, f.Cgroup = 239, 1 }, none: true},
		{name: "no control groups", change: func(f *facts.Host) { f.Cgroup = 0 }, blocks: true, says: "no control groups"},
		{name: "old kernel", change: func(f *facts.Host) { f.Kernel = "3.10.0-1160.el7.x86_64" }, blocks: true, says: "4.18 is the oldest"},
		{name: "odd kernel", change: func(f *facts.Host) { f.Kernel = "linux" }, blocks: true, says: "no version"},
		{name: "kernel of RHEL 8", change: func(f *facts.Host) { f.Kernel = "4.18.0-553.el8.x86_64" }, says: "tested with 5.4"},
		{name: "kernel 10", change: func(f *facts.Host) { f.Kernel = "10.0" }, none: true},
		{name: "other distribution", change: func(f *facts.Host) { f.OS = facts.OS{ID: "ubuntu", Version: "24.04", Name: "Ubuntu 24.04 LTS"} },
			says: "it is Ubuntu 24.04 LTS, and the bundle has packages for debian-12; these have to be there: conntrack,"},
		{name: "a package of the bundle", more: "hostPreparation: {packages: [xfsprogs]}\n", change: func(*facts.Host) {}, none: true},
		{name: "packages of nobody", more: "hostPreparation: {packages: [xfsprogs, htop, iotop]}\n", change: func(*facts.Host) {}, blocks: true,
			says: "asks for what the bundle does not have: htop, iotop"},
		{name: "little memory", change: func(f *facts.Host) { f.Memory = 1 << 30 }, says: "1GiB of memory, and a control plane needs 1.66GiB"},
		{name: "one CPU", change: func(f *facts.Host) { f.CPUs = 1 }, says: "1 CPU, and a control plane needs 2"},
		{name: "no room", change: func(f *facts.Host) { f.Free, f.Identity.Machine = map[string]uint64{"/var/lib": 1 << 30}, "x" }, blocks: true, says: "1GiB free in /var/lib"},
		{name: "no room, prepared", change: func(f *facts.Host) {
			f.Free, f.Identity.Cluster = map[string]uint64{"/var/lib": 1 << 30}, "x"
		}, says: "1GiB free in /var/lib"},
		{name: "other address", change: func(f *facts.Host) { f.Addresses = []netip.Addr{netip.MustParseAddr("192.168.0.1")} }, blocks: true,
			says: "at 10.0.0.11, which is no address of it; it has 192.168.0.1"},
		{name: "other name", more: "hostPreparation: {hostname: false}\n", change: func(*facts.Host) {}, says: "it calls itself debian and stays so"},
		{name: "same machine", change: func(f *facts.Host) { f.BootID = "boot-10.0.0.21" }, blocks: true, says: "it is the same machine as w1"},
		{name: "same identity", change: func(f *facts.Host) { f.Identity.Machine = "worker" }, blocks: true, says: "it has the identity of w1"},
		{name: "same computer", change: func(f *facts.Host) { f.BootID, f.Container = "boot-10.0.0.21", true }, none: true},
		{name: "limits", change: func(f *facts.Host) { f.RaisePriority = false }, says: "limits cannot be raised"},
		{name: "in use", change: func(f *facts.Host) { f.Carries = []string{"docker.service", "/etc/kubernetes/manifests"} }, blocks: true,
			says: "it already runs docker.service, /etc/kubernetes/manifests; Kubewright would take it over"},
		{name: "in use by Kubewright", change: func(f *facts.Host) { f.Carries, f.Identity.Cluster = []string{"containerd.service"}, "x" }, none: true},
		{name: "cloud-init", change: func(f *facts.Host) { f.WritesHosts = "/etc/cloud/cloud.cfg: manage_etc_hosts: true" },
			says: "cloud-init writes /etc/hosts when it boots (/etc/cloud/cloud.cfg: manage_etc_hosts: true)"},
		{name: "another firewall", change: func(f *facts.Host) { f.OtherFirewalls = []string{"nftables.service"} }, says: "its firewall is nftables.service"},
		{name: "another firewall, left", more: "hostPreparation: {firewall: leave}\n", change: func(f *facts.Host) { f.OtherFirewalls = []string{"nftables.service"} }, none: true},
		{name: "settings of SELinux", more: "files: [{source: motd, path: /etc/selinux/config}]\n", change: func(f *facts.Host) { f.SELinux = "enforcing" }, blocks: true,
			says: "the cluster file puts motd at /etc/selinux/config, which Kubewright writes itself"},
		{name: "a file of ours", more: "files: [{source: motd, path: /etc/hosts}]\n", change: func(*facts.Host) {}, blocks: true, says: "which Kubewright writes itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w1 := server("10.0.0.21")
			w1.Identity.Machine = "worker"
			w1.Hostname = "w1"
			cp1 := server("10.0.0.11")
			c.change(&cp1)
			_, problems := Steps(Input{Cluster: load(t, c.more), Hosts: map[string]facts.Host{"cp1": cp1, "w1": w1}, Bundle: testBundle()})
			var of []plan.Problem
			for _, p := range problems {
				if p.Host == "cp1" {
					of = append(of, p)
				}
			}
			switch {
			case c.none && len(of) > 0:
				t.Errorf("problems are %v; want none", of)
			case !c.none && (len(of) != 1 || of[0].Blocks != c.blocks || !strings.Contains(of[0].Message, c.says)):
				t.Errorf("problems are %+v; want one that says %q, blocking: %t", of, c.says, c.blocks)
			}
		})
	}
}

func TestOtherFirewallsHaveToLetIn(t *testing.T) {
	hosts := both(server)
	for name, f := range hosts {
		f.OtherFirewalls = []string{"nftables.service"}
		hosts[name] = f
	}
	_, problems := Steps(Input{Cluster: load(t, ""), Hosts: hosts, Bundle: testBundle()})
	for _, p := range problems {
		if etcd := strings.Contains(p.Remedy, "2379-2380/tcp"); !strings.Contains(p.Remedy, "10250/tcp") || etcd != (p.Host == "cp1") {
			t.Errorf("%+v", p)
		}
	}
	if len(problems) != 2 {
		t.Errorf("problems are %v", problems)
	}
}

func TestHostsWithoutInternalAddresses(t *testing.T) {
	c := load(t, "- {name: w2, address: w2.example.com, roles: [worker]}\n")
	hosts := both(server)
	hosts["w2"] = server("10.0.0.22")
	_, problems := Steps(Input{Cluster: c, Hosts: hosts, Bundle: testBundle()})
	if len(problems) != 1 || !problems[0].Blocks || !strings.Contains(problems[0].String(), "w2: it is not known by which address") {
		t.Errorf("problems are %v", problems)
	}
}

// A limit of sessions is never more than what may be set by then.
func TestLimitsOfSessionsCanBeSet(t *testing.T) {
	for _, c := range []struct {
		open  int
		raise bool
		limit bool // of sessions
	}{{1 << 20, true, true}, {1<<20 + 1, true, true}, {65536, false, false}} {
		f := server("10.0.0.11")
		f.RaisePriority = c.raise
		model := load(t, "")
		model.HostPreparation.OpenFiles = c.open
		steps, _ := Steps(Input{Cluster: model, Hosts: map[string]facts.Host{"cp1": f}, Bundle: testBundle()})
		limit, raised := -1, -1
		for i, r := range steps[0].Resources {
			switch r := r.(type) {
			case resource.File:
				if r.Path == "/etc/security/limits.d/90-kubewright.conf" {
					limit = i
				}
			case resource.Sysctl:
				if r.Name == "fs.nr_open" && r.Optional == "" && r.AtLeast && r.Value == strconv.Itoa(c.open) {
					raised = i
				}
			}
		}
		if limit >= 0 != c.limit || raised < 0 || c.limit && raised > limit {
			t.Errorf("%+v: the limit comes at %d, fs.nr_open at %d", c, limit, raised)
		}
	}
}

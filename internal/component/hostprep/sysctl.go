package hostprep

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

// parameter is a kernel parameter that clusters need.
type parameter struct {
	name, value string
	why         string
	guides      string // of the reference systems, with their value where it is another
	// harmless is why a host will do without.
	harmless string
	// module brings it.
	module string
	// limit says that a host may have more of it.
	limit bool
}

const (
	fewer   = "it only counts where there is much more of it than usual"
	network = "it only counts for very many connections at once"
)

// parameters are those that every host has: what guides B (a worker's tuning) and C (kernel parameters of all hosts) set, but for what is below.
var parameters = []parameter{
	{"net.ipv4.ip_forward", "1", "Packets of Pods go through their host.", "A, B, C", "", "", false},
	{"net.bridge.bridge-nf-call-iptables", "1", "What crosses a bridge of Pods meets the rules of Services.", "A, C", "", "br_netfilter", false},
	{"net.bridge.bridge-nf-call-ip6tables", "1", "What crosses a bridge of Pods by IPv6 meets the rules of Services, too.", "A, C", "", "br_netfilter", false},

	// The kubelet sets these itself, and where it cannot it complains (setupKernelTunables in pkg/kubelet/cm); here they stand so that they go with the cluster.
	{"vm.overcommit_memory", "1", "Memory is limited by control groups, and not refused because much of it could be used; the kubelet insists on it.", "C", "", "", false},
	{"vm.panic_on_oom", "0", "A container without memory is killed, and not its host; the kubelet insists on it.", "C", "", "", false},
	{"kernel.panic", "10", "A host whose kernel failed starts again after 10 s; the kubelet insists on it.", "the kubelet", "", "", false},
	{"kernel.panic_on_oops", "1", "A kernel that is damaged does not go on; the kubelet insists on it.", "the kubelet", "", "", false},

	{"vm.max_map_count", "1048576", "Databases such as Elasticsearch refuse to start with the kernel's 65530; newer distributions have this.", "B: 262144", "only such databases need it", "", true},
	{"fs.inotify.max_user_instances", "8192", "The kubelet, the runtime and whoever follows logs take some each; the kernel's 128 are used up by some dozens of Pods.", "B", fewer, "", true},
	{"fs.inotify.max_user_watches", "1048576", "Programs in Pods that watch files share them; it is the most that Linux gives by itself, on large hosts.", "B: 524288, C: 89100", fewer, "", true},

	{"net.core.somaxconn", "32768", "Connections that come all at once to API servers, balancers and ingresses wait, and are not refused.", "B, C: 16384", network, "", true},
	{"net.ipv4.tcp_max_syn_backlog", "16384", "Connections that are being opened all at once wait, and are not refused.", "C, B: 8096", network, "", true},
	{"net.ipv4.tcp_syncookies", "1", "When far too many connections are being opened, real ones still get through.", "C", network, "", false},
	{"net.core.netdev_max_backlog", "10000", "Packets that come faster than they are handled wait, and are not dropped.", "B", network, "", true},
	{"net.core.rmem_max", "16777216", "Programs that ask for large buffers to receive get them: fast connections over long distances, DNS over UDP.", "B", network, "", true},
	{"net.core.wmem_max", "16777216", "Programs that ask for large buffers to send from get them.", "B", network, "", true},
	{"net.ipv4.neigh.default.gc_thresh1", "2048", "Neighbours, Pods among them, are remembered without being looked through while there are so few.", "B", fewer, "", true},
	{"net.ipv4.neigh.default.gc_thresh2", "4096", "So many neighbours stay for long.", "B", fewer, "", true},
	{"net.ipv4.neigh.default.gc_thresh3", "8192", "Beyond so many neighbours, new ones are not reached; the kernel's 1024 are few for a network of hundreds of hosts.", "B", fewer, "", true},
	{"net.ipv4.tcp_keepalive_time", "600", "Whether a silent peer still lives is asked after 10 minutes and not 2 hours, before balancers and firewalls forget the connection.", "C", network, "", false},
	{"net.ipv4.tcp_keepalive_intvl", "15", "A silent peer is asked every 15 s.", "C", network, "", false},
	{"net.ipv4.tcp_keepalive_probes", "3", "After 3 questions without an answer a connection is given up.", "C", network, "", false},
	{"net.ipv4.tcp_orphan_retries", "3", "A connection that no program holds any more is given up after 3 tries.", "C", network, "", false},
	{"net.ipv4.tcp_fastopen", "3", "Programs that ask for it save a round trip, as clients and as servers.", "B", network, "", false},
	{"net.core.bpf_jit_enable", "1", "BPF programs of the kernel's network run compiled.", "B", "most kernels do so always", "", false},
	{"net.core.bpf_jit_harden", "1", "BPF programs of users without privileges cannot smuggle code in; hardened hosts have 2, for all users.", "B", "most kernels let no such user load any", "", true},
}

// What guides B and C set and Kubewright does not, unless the cluster file asks for it:
//
//   - net.ipv4.tcp_timestamps=0 (C): it harms every connection of the host (no protection against old segments, worse round-trip times). The faults behind NAT
//     that it is to cure came from tcp_tw_recycle, which Linux 4.12 removed.
//   - net.ipv4.tcp_tw_reuse=1 (C): the kernel's documentation asks not to change it without need; it is on for loopback.
//   - net.ipv4.tcp_max_tw_buckets (B: 32768, C: 36000) and net.ipv4.tcp_max_orphans (B: 32768, C: 327680): the kernel has them by the host's memory. Less
//     cuts off live connections, more takes 64 kB each that cannot be swapped.
//   - net.ipv4.tcp_rmem and tcp_wmem, 12 MB from the start (B): each connection takes so much, and some thousands all memory. The kernel lets buffers grow.
//   - net.ipv4.conf.all.rp_filter=1 (B): hosts with several networks, and network plugins that send answers another way, lose packets.
//   - net.netfilter.nf_conntrack_max (C: 2310720): kube-proxy sets it, by the number of CPUs. net.ipv4.ip_conntrack_max (C) is what it was called before 2.6.
//   - kernel.threads-max=30058 (B) and fs.file-max (B: 2097152, C: 52706963): less than what kernels have (by memory; systemd raises the second to the most).
//   - fs.nr_open=52706963 (C): programs that close all files that they could have open need minutes then. It is at least openFiles, see below.
//   - net.core.bpf_jit_kallsyms=1 (B): without effect while bpf_jit_harden is on.
//   - net.core.rps_sock_flow_entries=8192 (B): without effect unless each queue of each network card is told its share.
//   - net.core.dev_weight_tx_bias=1 (B): it is 1. fs.may_detach_mounts=1 (C): only the kernel of RHEL 7 has it.

// ofHolders are the parameters of hosts that hold an address which wanders, by whether it is of IPv4.
var ofHolders = map[bool]parameter{
	true:  {"net.ipv4.ip_nonlocal_bind", "1", "Balancers listen at the address that wanders before their host holds it.", "C", "", "", false},
	false: {"net.ipv6.ip_nonlocal_bind", "1", "Balancers listen at the address that wanders before their host holds it.", "C, of IPv4", "", "", false},
}

// wanted are the parameters of a host, those of the cluster file among them.
func wanted(c *cluster.Cluster, h v1alpha1.Host) []parameter {
	p := c.HostPreparation
	own := map[string]string{}
	for name, value := range p.Sysctls {
		own[dotted(name)] = value
	}
	list := slices.Clone(parameters)
	if a, err := netip.ParseAddr(c.Endpoint.Address); err == nil && c.Holder(h) {
		list = append(list, ofHolders[a.Unmap().Is4()])
	}
	list = append(list, parameter{"fs.nr_open", strconv.Itoa(p.OpenFiles), "No limit of open files may be above it, and openFiles sets such limits.", "C: 52706963", "", "", true})
	list = slices.DeleteFunc(list, func(q parameter) bool { _, ok := own[q.name]; return ok })
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if own[name] == "" {
			continue // leave it alone
		}
		q := parameter{name: name, value: own[name], why: "As the cluster file says."}
		switch {
		case strings.HasPrefix(name, "net.bridge."):
			q.module = "br_netfilter"
		case strings.HasPrefix(name, "net.netfilter.nf_conntrack"):
			q.module = "nf_conntrack"
		}
		list = append(list, q)
	}
	return list
}

// dotted is the name with dots of a parameter whose name may have slashes: then dots are part of it, and become slashes, as in sysctl.d(5).
func dotted(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '.' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '/':
			return '.'
		case '.':
			return '/'
		}
		return r
	}, name)
}

// sysctls are set now and at boot. The file comes after others, /etc/sysctl.conf (as 99-sysctl.conf) and k8s.conf of many a guide among them: the last one that
// names a parameter wins, and it is no use to set what the next boot sets otherwise. Limits that a host has more of are left so, now and at boot; what the cluster file says is set as it says.
func sysctls(c *cluster.Cluster, h v1alpha1.Host) []resource.Resource {
	boot := resource.SysctlFile{Path: "/etc/sysctl.d/zz-kubewright.conf", Header: header("hostPreparation.sysctls")}
	var now []resource.Resource
	for _, q := range wanted(c, h) {
		now = append(now, resource.Sysctl{Name: q.name, Value: q.value, AtLeast: q.limit, Optional: q.harmless, Module: q.module})
		boot.Parameters = append(boot.Parameters, resource.SysctlLine{Name: q.name, Value: q.value, AtLeast: q.limit, Optional: q.harmless != "", Why: q.why})
	}
	// The file comes last, so it is the first to go: a restart in the middle of a reset must not set them again.
	return append(now, boot)
}

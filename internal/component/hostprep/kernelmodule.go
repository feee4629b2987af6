package hostprep

import (
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// module is a kernel module that clusters need.
type module struct {
	name   string
	why    string
	guides string // of the reference systems
	// harmless is why a host will do without.
	harmless string
}

const ipvs = "only kube-proxy in IPVS mode needs it"

// kernelModules are those that every host loads.
var kernelModules = []module{
	{"overlay", "layers of images become one file system", "A, B, C", ""},
	// Where it is built in, the kernel does not list it; whether it works is seen by its parameters, which are not optional.
	{"br_netfilter", "what crosses a bridge of Pods meets the rules of Services", "A, C", "where net.bridge.bridge-nf-call-iptables can be set, the kernel has it"},
	{"nf_conntrack", "connections to Services are followed", "A, C", "the kernel loads it when the first rule needs it"},
	{"ip_vs", "kube-proxy in IPVS mode", "A, C", ipvs},
	{"ip_vs_rr", "scheduling in turn in IPVS mode", "A, C", ipvs},
	{"ip_vs_wrr", "scheduling in weighted turn in IPVS mode", "A, C", ipvs},
	{"ip_vs_sh", "scheduling by source in IPVS mode", "A, C", ipvs},
	// Guide C lists nine more schedulers of IPVS: the kernel loads them when kube-proxy names one.
}

// modules are loaded now and at boot. Where nothing can be loaded, there is nothing to say for the next boot: systemd would only fail on it.
func modules(p v1alpha1.HostPreparation, f facts.Host) []resource.Resource {
	var now []resource.Resource
	var boot strings.Builder
	boot.WriteString(header("hostPreparation.kernelModules"))
	for _, m := range kernelModules {
		if slices.Contains(p.KernelModules, m.name) {
			continue // asked for: it is not optional then
		}
		now = append(now, resource.KernelModule{Name: m.name, Optional: m.harmless})
		boot.WriteString("# " + m.why + "\n" + m.name + "\n")
	}
	for i, name := range p.KernelModules {
		if slices.Contains(p.KernelModules[:i], name) {
			continue
		}
		now = append(now, resource.KernelModule{Name: name})
		boot.WriteString("# as the cluster file says\n" + name + "\n")
	}
	if !f.LoadModules {
		return now
	}
	// The file comes last, so it is the first to go: a restart in the middle of a reset must not load them again.
	return append(now, resource.NewFile("/etc/modules-load.d/kubewright.conf", boot.String()))
}

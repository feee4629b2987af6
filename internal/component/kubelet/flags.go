package kubelet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// environment is kubeadm-flags.env, which the unit reads: flags that have no field in the configuration (WriteKubeletDynamicEnvFile in cmd/kubeadm/app/phases/kubelet/flags.go).
func environment(c *cluster.Cluster, h v1alpha1.Host, f facts.Host) string {
	flags := map[string]string{}
	if len(h.InternalAddresses) > 0 {
		flags["node-ip"] = strings.Join(h.InternalAddresses, ",")
	}
	if !*c.HostPreparation.Hostname && f.Hostname != h.Name {
		flags["hostname-override"] = h.Name
	}
	if c.Standalone(h) {
		return flagsFile(flags) // it registers no node
	}
	if list := cluster.TaintsOf(h); len(list) > 0 {
		var texts []string
		for _, t := range list {
			texts = append(texts, taintText(t))
		}
		flags["register-with-taints"] = strings.Join(texts, ",")
	}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(h.Labels)) {
		if mayLabel(name) {
			labels = append(labels, name+"="+h.Labels[name])
		}
	}
	if len(labels) > 0 {
		flags["node-labels"] = strings.Join(labels, ",")
	}
	if c.CloudProvider != "" {
		flags["cloud-provider"] = c.CloudProvider
	}
	return flagsFile(flags)
}

func flagsFile(flags map[string]string) string {
	return fmt.Sprintf("KUBELET_KUBEADM_ARGS=%q\n", strings.Join(staticpod.Command("kubelet", flags, nil)[1:], " "))
}

// taintText is a taint as Kubernetes writes it (Taint.ToString in core/v1).
func taintText(t v1alpha1.Taint) string {
	if t.Value == "" {
		return t.Key + ":" + string(t.Effect)
	}
	return t.Key + "=" + t.Value + ":" + string(t.Effect)
}

// labels are Kubernetes' own that a kubelet may give its node (k8s.io/kubelet/pkg/apis/well_known_labels.go); it refuses to start with others.
var labels = []string{
	"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
	"failure-domain.beta.kubernetes.io/region", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch",
	"beta.kubernetes.io/os", "beta.kubernetes.io/arch",
}

// mayLabel says whether a kubelet may give its node a label. The others are for who may do more: node-role.kubernetes.io/….
func mayLabel(name string) bool {
	namespace, _, found := strings.Cut(name, "/")
	within := func(domain string) bool { return namespace == domain || strings.HasSuffix(namespace, "."+domain) }
	if !found || !within("kubernetes.io") && !within("k8s.io") {
		return true
	}
	return slices.Contains(labels, name) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

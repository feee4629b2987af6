package kubeproxy

import (
	"fmt"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/cluster"
)

// configuration is KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) in YAML, as kubeadm writes it but for what is as kube-proxy has it by itself.
func configuration(in Input) (string, error) {
	config := map[string]any{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"bindAddress":      bindAddress(in.Cluster),
		"clientConnection": map[string]any{"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
		"clusterCIDR":      strings.Join(in.Cluster.Network.PodRanges, ","),
		"mode":             in.Cluster.KubeProxy.Mode,
	}
	if shared(in) {
		// A machine that shares its kernel may not set how many connections are followed, and for how long; kube-proxy would not start. All nodes have one
		// configuration, so it is left as it is on all.
		config["conntrack"] = map[string]any{"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
	}
	b, err := yaml.Marshal(merged(config, in.Cluster.KubeProxy.Config))
	if err != nil {
		return "", fmt.Errorf("the configuration of kube-proxy cannot be written: %w", err)
	}
	return string(b), nil
}

// bindAddress is any of the first family of addresses.
func bindAddress(c *cluster.Cluster) string {
	if len(c.Network.PodRanges) > 0 && strings.Contains(c.Network.PodRanges[0], ":") {
		return "::"
	}
	return "0.0.0.0"
}

// shared says whether some node shares its kernel with others. What one is that does not answer is not known: others of its kind tell, since such machines come together.
func shared(in Input) bool {
	for _, h := range in.Cluster.Nodes() {
		if in.Hosts[h.Name].Container {
			return true
		}
	}
	return false
}

// merged is a configuration with the user's fields in place of ours, to any depth.
func merged(ours, users map[string]any) map[string]any {
	all := maps.Clone(ours)
	for name, value := range users {
		if below, ok := value.(map[string]any); ok {
			if own, ok := all[name].(map[string]any); ok {
				value = merged(own, below)
			}
		}
		all[name] = value
	}
	return all
}

// kubeconfig has kube-proxy ask the endpoint, as whom the token of its Pod says.
func kubeconfig(c *cluster.Cluster) string {
	return `apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: ` + c.EndpointURL() + `
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
`
}

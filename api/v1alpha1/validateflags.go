package v1alpha1

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

var flagName = form(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// owned is something that Kubewright sets itself, because other parts of the cluster rely on it.
type owned struct {
	name    string // a flag, or a field with those in it; all that begin so, if it ends with *
	instead string // the field of the cluster file that says it, or ""
	why     string // if there is none
}

// Why things are Kubewright's own.
const (
	certificates = "certificates and keys are where kubeadm has them"
	addresses    = "others expect it at the address and port that it has"
	identities   = "each host has its own"
	credentials  = "it comes to the API with the credentials that Kubewright makes for it"
)

// Flags that cannot be given, with what to say instead. Their names are those of Kubernetes v1.37 and etcd v3.7.
var (
	etcdFlags = []owned{
		{"name", "", identities},
		{"data-dir", "etcd.dataDir", ""},
		{"wal-dir", "etcd.dataDir", ""},
		{"quota-backend-bytes", "etcd.quota", ""},
		{"auto-compaction-retention", "etcd.compactionRetention", ""},
		{"auto-compaction-mode", "etcd.compactionMode", ""},
		{"initial-cluster*", "", "it is written once, from the hosts of the cluster"},
		{"initial-advertise-peer-urls", "", addresses},
		{"listen-client-urls", "", addresses},
		{"listen-client-http-urls", "", addresses},
		{"listen-peer-urls", "", addresses},
		{"listen-metrics-urls", "", addresses},
		{"advertise-client-urls", "", addresses},
		{"discovery*", "", "members are the hosts of the cluster"},
		{"force-new-cluster", "", "it would make a second cluster of one member"},
		{"config-file", "", "etcd would ignore all flags"},
		{"cert-file", "", certificates},
		{"key-file", "", certificates},
		{"trusted-ca-file", "", certificates},
		{"client-cert-file", "", certificates},
		{"client-key-file", "", certificates},
		{"client-cert-auth", "", "whoever may speak to etcd may do everything in the cluster"},
		{"auto-tls", "", certificates},
		{"peer-cert-file", "", certificates},
		{"peer-key-file", "", certificates},
		{"peer-trusted-ca-file", "", certificates},
		{"peer-client-cert-file", "", certificates},
		{"peer-client-key-file", "", certificates},
		{"peer-client-cert-auth", "", "whoever may speak to etcd may do everything in the cluster"},
		{"peer-auto-tls", "", certificates},
	}
	apiServerFlags = []owned{
		{"advertise-address", "hosts[].internalAddresses", ""},
		{"secure-port", "apiServer.port", ""},
		{"etcd-servers", "etcd.external.endpoints", ""},
		{"etcd-servers-overrides", "", "etcd.events has events elsewhere, and whatever else is moved to another etcd is lost to the cluster"},
		{"etcd-cafile", "", certificates},
		{"etcd-certfile", "", certificates},
		{"etcd-keyfile", "", certificates},
		{"etcd-prefix", "etcd.external.prefix", ""},
		{"service-cluster-ip-range", "network.serviceRanges", ""},
		{"client-ca-file", "", certificates},
		{"tls-cert-file", "apiServer.extraSANs", ""},
		{"tls-private-key-file", "apiServer.extraSANs", ""},
		{"cert-dir", "", certificates},
		{"kubelet-client-certificate", "", certificates},
		{"kubelet-client-key", "", certificates},
		{"kubelet-certificate-authority", "", certificates},
		{"proxy-client-*", "", certificates},
		{"requestheader-*", "", "aggregated API servers are told so by it"},
		{"service-account-key-file", "", certificates},
		{"service-account-signing-key-file", "", certificates},
		{"service-account-signing-endpoint", "", certificates},
		{"encryption-provider-config*", "encryption", ""},
		{"audit-log-path", "audit", ""},
		{"audit-policy-file", "audit.policy", ""},
		{"audit-log-maxage", "audit.maxAge", ""},
		{"audit-log-maxbackup", "audit.maxBackup", ""},
		{"audit-log-maxsize", "audit.maxSize", ""},
		{"enable-bootstrap-token-auth", "", "hosts join by tokens"},
		{"anonymous-auth", "", "health endpoints, and what hosts join by, are all that is to be had without a name"},
		{"oidc-*", "apiServer.extraArgs.authentication-config", ""},
	}
	controllerManagerFlags = append([]owned{
		{"cluster-cidr", "network.podRanges", ""},
		{"service-cluster-ip-range", "network.serviceRanges", ""},
		{"node-cidr-mask-size", "network.nodeMask", ""},
		{"node-cidr-mask-size-ipv4", "network.nodeMask", ""},
		{"node-cidr-mask-size-ipv6", "network.nodeMaskIPv6", ""},
		{"allocate-node-cidrs", "network.podRanges", ""},
		{"cluster-name", "name", ""},
		{"cluster-signing-cert-file", "", certificates},
		{"cluster-signing-key-file", "", certificates},
		{"cluster-signing-kube*", "", certificates},
		{"cluster-signing-legacy*", "", certificates},
		{"root-ca-file", "", certificates},
		{"service-account-private-key-file", "", certificates},
		{"cloud-provider", "cloudProvider", ""},
	}, managerFlags...)
	// managerFlags are those of the scheduler and, with more, of the controller manager.
	managerFlags = []owned{
		{"kubeconfig", "", credentials},
		{"authentication-kubeconfig", "", credentials},
		{"authorization-kubeconfig", "", credentials},
		{"client-ca-file", "", certificates},
		{"requestheader-*", "", certificates},
		{"leader-elect", "", "one of them works at a time, and the others stand by"},
		{"secure-port", "", addresses},
	}
)

// Fields of the kubelet's and kube-proxy's configuration that cannot be given.
var (
	kubeletFields = []owned{
		{"apiVersion", "", "it is kubelet.config.k8s.io/v1beta1"},
		{"kind", "", "it is KubeletConfiguration"},
		{"clusterDomain", "network.dnsDomain", ""},
		{"clusterDNS", "kubelet.clusterDNS", ""},
		{"maxPods", "kubelet.maxPods", ""},
		{"systemReserved", "kubelet.systemReserved", ""},
		{"kubeReserved", "kubelet.kubeReserved", ""},
		{"evictionHard", "kubelet.evictionHard", ""},
		{"registerWithTaints", "hosts[].taints", ""},
		{"registerNode", "", "hosts that are no nodes have other roles"},
		{"podCIDR", "network.podRanges", ""},
		{"staticPodPath", "", "the control plane is where kubeadm has it"},
		{"staticPodURL*", "", "the control plane is where kubeadm has it"},
		{"authentication.x509", "", certificates},
		{"authentication.anonymous", "", "whoever may speak to the kubelet may run what they like"},
		{"authentication.webhook.enabled", "", "Pods that watch nodes come with tokens"},
		{"authorization.mode", "", "whoever may speak to the kubelet may run what they like"},
		{"cgroupDriver", "", "it has to be that of the container runtime"},
		{"containerRuntimeEndpoint", "runtime.name", ""},
		{"imageServiceEndpoint", "runtime.name", ""},
		{"rotateCertificates", "", "certificates are renewed before they end"},
		{"serverTLSBootstrap", "", "certificates are renewed before they end"},
		{"tlsCertFile", "", certificates},
		{"tlsPrivateKeyFile", "", certificates},
		{"enableServer", "", addresses},
		{"address", "", addresses},
		{"port", "", addresses},
		{"healthzPort", "", addresses},
		{"healthzBindAddress", "", addresses},
	}
	kubeProxyFields = []owned{
		{"apiVersion", "", "it is kubeproxy.config.k8s.io/v1alpha1"},
		{"kind", "", "it is KubeProxyConfiguration"},
		{"mode", "kubeProxy.mode", ""},
		{"clusterCIDR", "network.podRanges", ""},
		{"hostnameOverride", "", identities},
		{"clientConnection.kubeconfig", "", credentials},
		{"healthzBindAddress", "", addresses},
		{"metricsBindAddress", "", addresses},
	}
)

// checkArgs checks flags of a program.
func (v *validation) checkArgs(field string, args map[string]string, own []owned) {
	for _, name := range slices.Sorted(maps.Keys(args)) {
		at := join(field, name)
		if !flagName().MatchString(name) {
			v.say(at, "the name of a flag without dashes before it, such as v", "%q cannot be meant", name)
		}
		if strings.ContainsFunc(args[name], unicode.IsControl) {
			v.say(at, "one line", "the value has control characters")
		}
		v.checkOwned(at, name, own)
	}
}

// checkConfig checks the fields of a configuration, and those in them.
func (v *validation) checkConfig(field, within string, config map[string]any, own []owned) {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		at := join(field, name)
		if v.checkOwned(at, join(within, name), own) {
			continue
		}
		fields, ok := config[name].(map[string]any)
		switch {
		case ok:
			v.checkConfig(at, join(within, name), fields, own)
		case slices.ContainsFunc(own, func(o owned) bool { return strings.HasPrefix(o.name, join(within, name)+".") }):
			v.say(at, "fields", "it holds no fields")
		}
	}
}

// checkOwned says what is wrong with something that Kubewright sets itself, and whether it is so.
func (v *validation) checkOwned(field, name string, own []owned) bool {
	for _, o := range own {
		prefix, all := strings.CutSuffix(o.name, "*")
		switch {
		case o.name != name && !(all && strings.HasPrefix(name, prefix)):
			continue
		case o.instead != "":
			v.say(field, o.instead+" instead", "Kubewright sets it itself")
		default:
			v.say(field, "", "Kubewright sets it itself: %s", o.why)
		}
		return true
	}
	return false
}

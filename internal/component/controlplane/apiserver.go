package controlplane

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// encryptionFile says what etcd holds encrypted, and by which keys; all control planes share it.
const encryptionFile = kubernetesDir + "/encryption.yaml"

// apiServerPod is an API server as kubeadm 1.37 runs it (GetStaticPodSpecs in cmd/kubeadm/app/phases/controlplane/manifests.go).
func apiServerPod(c *cluster.Cluster, h v1alpha1.Host, f facts.Host, image string) corev1.Pod {
	asked := staticpod.Endpoint{Scheme: corev1.URISchemeHTTPS, Host: cluster.NodeAddress(h)}
	return staticpod.Pod(corev1.Container{
		Name: apiServer, Image: image,
		Command:        staticpod.Command(apiServer, apiServerFlags(c, h), c.Cluster.APIServer.ExtraArgs),
		Resources:      staticpod.Requests(map[corev1.ResourceName]string{corev1.ResourceCPU: "250m"}),
		LivenessProbe:  asked.Liveness(c.Health("/livez")),
		ReadinessProbe: asked.Readiness(c.Health("/readyz")),
		StartupProbe:   asked.Startup(c.Health("/livez")),
		Ports:          staticpod.Port(int32(c.Cluster.APIServer.Port)),
	}, apiServerMounts(c, f), map[string]string{"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": c.APIServer(h)})
}

// apiServerFlags are kubeadm's (getAPIServerCommand), and those for audit, encryption and anonymous requests, which it leaves to people.
func apiServerFlags(c *cluster.Cluster, h v1alpha1.Host) map[string]string {
	const pki = resource.PKIDir
	flags := map[string]string{
		"advertise-address":                  cluster.NodeAddress(h),
		"enable-admission-plugins":           "NodeRestriction",
		"service-cluster-ip-range":           strings.Join(c.Network.ServiceRanges, ","),
		"service-account-key-file":           pki + "/sa.pub",
		"service-account-signing-key-file":   pki + "/sa.key",
		"service-account-issuer":             issuer(c),
		"client-ca-file":                     pki + "/ca.crt",
		"tls-cert-file":                      pki + "/apiserver.crt",
		"tls-private-key-file":               pki + "/apiserver.key",
		"kubelet-client-certificate":         pki + "/apiserver-kubelet-client.crt",
		"kubelet-client-key":                 pki + "/apiserver-kubelet-client.key",
		"enable-bootstrap-token-auth":        "true",
		"secure-port":                        strconv.Itoa(c.Cluster.APIServer.Port),
		"allow-privileged":                   "true",
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-client-ca-file":       pki + "/front-proxy-ca.crt",
		"requestheader-allowed-names":        "front-proxy-client",
		"proxy-client-cert-file":             pki + "/front-proxy-client.crt",
		"proxy-client-key-file":              pki + "/front-proxy-client.key",
	}
	maps.Copy(flags, etcdFlags(c, h))
	if _, structured := c.Cluster.APIServer.ExtraArgs["authorization-config"]; !structured {
		flags["authorization-mode"] = "Node,RBAC"
	}
	maps.Copy(flags, ownAPIServerFlags(c))
	return flags
}

// ownAPIServerFlags are those that kubeadm does not give them itself.
func ownAPIServerFlags(c *cluster.Cluster) map[string]string {
	flags := map[string]string{
		// The kubelets' serving certificates are of the cluster's authority here, so they are verified; kubeadm's are of their own making.
		"kubelet-certificate-authority": resource.PKIDir + "/ca.crt",
		"authentication-config":         authenticationPath(c),
	}
	if c.ControlPlane.Standalone {
		// There is no kube-proxy on its host: it asks aggregated API servers at the addresses of their Pods, which are those of their hosts.
		flags["enable-aggregator-routing"] = "true"
	}
	if e := c.EventsEtcd(); len(e.Hosts) > 0 {
		// All of its members, in the order of the file: an API server that is started is to come up when the one beside it is gone, and kubeadm gives all hosts the same.
		flags["etcd-servers-overrides"] = "/events#" + strings.Join(serversOf(e, v1alpha1.Host{}), ";")
	}
	if !c.Audit.Disabled {
		maps.Copy(flags, auditFlags(c))
	}
	if encrypts(c) {
		flags["encryption-provider-config"] = encryptionFile
	}
	return flags
}

// etcdFlags say where its data is, and how it comes to it.
func etcdFlags(c *cluster.Cluster, h v1alpha1.Host) map[string]string {
	if e := c.Etcd.External; e.Wanted() {
		const dir = resource.ExternalEtcdDir
		return map[string]string{
			"etcd-servers": strings.Join(e.Endpoints, ","), "etcd-prefix": e.Prefix, "etcd-cafile": dir + "/ca.crt", "etcd-certfile": dir + "/client.crt", "etcd-keyfile": dir + "/client.key",
		}
	}
	return map[string]string{
		"etcd-servers": strings.Join(etcdServers(c, h), ","), "etcd-cafile": resource.PKIDir + "/etcd/ca.crt",
		"etcd-certfile": resource.PKIDir + "/apiserver-etcd-client.crt", "etcd-keyfile": resource.PKIDir + "/apiserver-etcd-client.key",
	}
}

// etcdServers is the member on the host itself, as kubeadm has it, or all of them where there is none.
func etcdServers(c *cluster.Cluster, h v1alpha1.Host) []string {
	e := c.MainEtcd()
	if e.Carries(h.Name) {
		return []string{e.LocalURL(h)}
	}
	return serversOf(e, h)
}

// serversOf are all members of an etcd, that of the host itself first.
func serversOf(e cluster.EtcdCluster, h v1alpha1.Host) []string {
	var list []string
	for _, m := range e.Hosts {
		if m.Name == h.Name {
			list = slices.Insert(list, 0, e.ClientURL(m))
		} else {
			list = append(list, e.ClientURL(m))
		}
	}
	return list
}

func encrypts(c *cluster.Cluster) bool { return c.Encryption.Provider != "none" }

func apiServerMounts(c *cluster.Cluster, f facts.Host) []staticpod.Mount {
	return append(append(authorities(f), keys), ownAPIServerMounts(c)...)
}

// ownAPIServerMounts are those that kubeadm does not give them itself.
func ownAPIServerMounts(c *cluster.Cluster) []staticpod.Mount {
	mounts := []staticpod.Mount{file("authentication", authenticationPath(c))}
	if !c.Audit.Disabled {
		mounts = append(mounts, file("audit-policy", AuditPolicyFile),
			staticpod.Mount{Name: "audit-logs", Path: auditDir, Type: corev1.HostPathDirectoryOrCreate, Writable: true})
	}
	if encrypts(c) {
		mounts = append(mounts, file("encryption", encryptionFile))
	}
	return mounts
}

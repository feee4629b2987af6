package controlplane

import (
	"net/netip"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

// certificates are those of an API server, as kubeadm has them (cmd/kubeadm/app/phases/certs/certlist.go).
func certificates(c *cluster.Cluster, h v1alpha1.Host) []resource.Resource {
	server := pki.Request{Authority: pki.Kubernetes, CommonName: "kube-apiserver", Server: true}
	server.DNSNames, server.Addresses = names(c, h)
	list := []resource.Resource{certificate(c, "apiserver", server)}
	for _, client := range []struct{ file, authority, name string }{
		{"apiserver-kubelet-client", pki.Kubernetes, "kube-apiserver-kubelet-client"},
		{"front-proxy-client", pki.FrontProxy, "front-proxy-client"},
		{"apiserver-etcd-client", pki.Etcd, "kube-apiserver-etcd-client"},
	} {
		if client.authority == pki.Etcd && c.Etcd.External.Wanted() {
			continue // it shows the user's
		}
		list = append(list, certificate(c, client.file, pki.Request{Authority: client.authority, CommonName: client.name, Client: true}))
	}
	return list
}

func certificate(c *cluster.Cluster, file string, r pki.Request) resource.Resource {
	return resource.Certificate{Path: resource.PKIDir + "/" + file, Request: made(c, r)}
}

// made is a request for a key and a time that the cluster file says.
func made(c *cluster.Cluster, r pki.Request) pki.Request {
	r.Algorithm, r.Validity = pki.Algorithm(c.Certificates.Algorithm), c.CertificateValidity()
	return r
}

// names are those that an API server is reached by: kubeadm's (GetAPIServerAltNames in cmd/kubeadm/app/util/pkiutil), of which it has the first Service address and the first
// address of the node only; and the address by which people reach the host, so that their kubeconfigs work from the first day.
func names(c *cluster.Cluster, h v1alpha1.Host) (dns []string, addresses []netip.Addr) {
	dns = []string{h.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.Network.DNSDomain}
	addresses = c.ServiceAddress(1)
	for _, name := range slices.Concat(h.InternalAddresses, c.EndpointNames(), []string{h.Address}, c.Cluster.APIServer.ExtraSANs) {
		if a, err := netip.ParseAddr(name); err != nil {
			dns = appendNew(dns, name)
		} else {
			addresses = appendNew(addresses, a)
		}
	}
	return dns, addresses
}

func appendNew[T comparable](list []T, one T) []T {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// kubeconfigs are kubeadm's (getKubeConfigSpecsBase in cmd/kubeadm/app/phases/kubeconfig). Controller manager and scheduler ask the API server beside them, which is of
// their version or newer, as they need it; people ask whichever answers. super-admin.conf, with which the API obeys before it has any rules, is on all control planes and not on a first one
// alone, since there is none.
func kubeconfigs(c *cluster.Cluster, h v1alpha1.Host) []resource.Resource {
	var list []resource.Resource
	for _, k := range []struct {
		file, server, user string
		groups             []string
	}{
		{"admin.conf", c.EndpointURL(), "kubernetes-admin", []string{"kubeadm:cluster-admins"}},
		{"super-admin.conf", c.EndpointURL(), "kubernetes-super-admin", []string{"system:masters"}},
		{controllerManagerConf, localURL(c, h), "system:kube-controller-manager", nil},
		{schedulerConf, localURL(c, h), "system:kube-scheduler", nil},
	} {
		list = append(list, resource.Kubeconfig{Path: kubernetesDir + "/" + k.file, Cluster: c.Name, Server: k.server,
			Request: made(c, pki.Request{Authority: pki.Kubernetes, CommonName: k.user, Organizations: k.groups, Client: true})})
	}
	return list
}

const (
	controllerManagerConf = "controller-manager.conf"
	schedulerConf         = "scheduler.conf"
)

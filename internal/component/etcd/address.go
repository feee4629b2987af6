package etcd

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
)

// Ports of a member: for clients, for other members, and for who asks how it is.
const (
	clientPort  = "2379"
	peerPort    = "2380"
	metricsPort = 2381
)

// addresses are those by which a member is reached, on its own host, too.
func addresses(h v1alpha1.Host) []netip.Addr {
	var list []netip.Addr
	for _, s := range append(h.InternalAddresses[:len(h.InternalAddresses):len(h.InternalAddresses)], "127.0.0.1", "::1") {
		if a, err := netip.ParseAddr(s); err == nil {
			list = append(list, a)
		}
	}
	return list
}

func httpsURL(address, port string) string { return "https://" + net.JoinHostPort(address, port) }

func clientURL(h v1alpha1.Host) string { return httpsURL(cluster.NodeAddress(h), clientPort) }

func peerURL(h v1alpha1.Host) string { return httpsURL(cluster.NodeAddress(h), peerPort) }

// loopback is of the family that the node's address is of.
func loopback(h v1alpha1.Host) string {
	if a, err := netip.ParseAddr(cluster.NodeAddress(h)); err == nil && a.Is6() {
		return "::1"
	}
	return "127.0.0.1"
}

// metricsURL is where a member says how it is.
func metricsURL(h v1alpha1.Host) string {
	return "http://" + net.JoinHostPort(loopback(h), strconv.Itoa(metricsPort))
}

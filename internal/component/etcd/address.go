package etcd

import (
	"net/netip"

	"github.com/kubewright/kubewright/api/v1alpha1"
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

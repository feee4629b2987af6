package v1alpha1

import "slices"

// EtcdHosts are those of some hosts that carry members of the cluster of etcd that holds what the API stores: those with the role etcd, or all control planes if none has it. Hosts that have that
// role alone and are named for events carry only those, unless nobody else has it.
func EtcdHosts(hosts []Host, events []string) []Host {
	var with, others, planes []Host
	for _, h := range hosts {
		switch {
		case slices.Contains(h.Roles, Etcd):
			with = append(with, h)
			if len(h.Roles) > 1 || !slices.Contains(events, h.Name) {
				others = append(others, h)
			}
		case slices.Contains(h.Roles, ControlPlane):
			planes = append(planes, h)
		}
	}
	switch {
	case len(others) > 0:
		return others
	case len(with) > 0:
		return with
	}
	return planes
}

package v1alpha1

import (
	"fmt"
	"slices"
)

// checkEvents checks the cluster of etcd for events: who its members are, and that they are not in the way of others.
func (v *validation) checkEvents(c *Cluster) {
	const field = "etcd.events"
	e := c.Etcd.Events
	if !e.Wanted() {
		if v.stated(field+".hosts") || e.ClientPort != 0 || e.PeerPort != 0 || e.DataDir != "" {
			v.say(field, field+".hosts, or none of this", "it says nothing of who carries its members")
		}
		return
	}
	named := v.checkEventsHosts(field+".hosts", e.Hosts)
	if v.stated(field + ".dataDir") {
		v.checkOwnDirectory(field+".dataDir", e.DataDir, "/var/lib/etcd-events")
	}
	root := c.Runtime.Root
	if root == "" {
		root = defaultRuntimeRoot
	}
	for _, other := range []struct{ field, dir string }{{"runtime.root", root}, {"etcd.dataDir", c.Etcd.DataDir}} {
		if (within(e.DataDir, other.dir) || within(other.dir, e.DataDir)) && !v.hasProblem(field+".dataDir") {
			v.say(field+".dataDir", "a directory beside it", "%s and %s, %s, are one in the other", e.DataDir, other.field, other.dir)
		}
	}
	v.eventsBeside = slices.ContainsFunc(EtcdHosts(v.hosts, named), func(h Host) bool { return slices.Contains(named, h.Name) })
}

// checkEventsHosts checks who carries its members, and writes out their names.
func (v *validation) checkEventsHosts(field string, hosts []string) []string {
	known := map[string]Host{}
	for _, h := range v.hosts {
		known[h.Name] = h
	}
	var named []string
	for i, name := range hosts {
		at := fmt.Sprintf("%s[%d]", field, i)
		list, err := expand(name)
		if err != nil {
			v.say(at, "the name of a host, or a range", "%v", err)
		}
		for _, one := range list {
			h, is := known[one]
			switch {
			case !is && !v.hasProblem("hosts"):
				v.say(at, "the name of a host of this file", "there is no host %q", one)
			case is && !slices.Contains(h.Roles, ControlPlane) && !slices.Contains(h.Roles, Etcd):
				v.say(at, "hosts with the role control-plane or etcd", "%s has neither of these roles", one)
			case slices.Contains(named, one):
				v.say(at, "", "%s is given twice", one)
			}
			named = append(named, one)
			if v.hasProblem(at) {
				break
			}
		}
	}
	if v.hasProblem(field) || v.hasProblem("hosts") {
		return named
	}
	switch n := len(named); {
	case n > 7:
		v.say(field, "1, 3, 5 or 7", "%d hosts are named; so many members make etcd slow", n)
	case n%2 == 0:
		v.say(field, "1, 3, 5 or 7", "%d hosts are named; an even number of members of etcd survives no more failures than one less", n)
	}
	return named
}

package converge

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
)

// called makes a host of a cluster that people call something.
func called(name, cluster, clusterName string) facts.Host {
	f := of(name, cluster)
	f.Identity.ClusterName = clusterName
	return f
}

func TestWhoseHostsAreReset(t *testing.T) {
	all := []string{"c1", "c2", "c3", "w1", "w2"}
	for _, c := range []struct {
		name    string
		hosts   map[string]facts.Host
		named   []string
		id      string
		unclear string
	}{
		{name: "keepers say", hosts: map[string]facts.Host{"c1": of("c1", "x"), "c2": of("c2", "x"), "w1": of("w1", "y")}, named: all, id: "x"},
		{name: "one of them says, by its name", hosts: map[string]facts.Host{"c1": called("c1", "x", "prod"), "c2": of("c2", "")}, named: all, id: "x"},
		{name: "one of them is foreign", hosts: map[string]facts.Host{"c1": of("c1", "x"), "c2": of("c2", "")}, named: all,
			unclear: "only 1 of 3 control-plane and etcd hosts belong to it, and it is not called prod"},
		{name: "keepers are reset, a worker is left", hosts: map[string]facts.Host{"c1": of("c1", ""), "c2": of("c2", ""), "c3": of("c3", ""), "w1": called("w1", "x", "prod")},
			named: all, id: "x", unclear: "no control-plane or etcd host of the cluster file belongs to one"},
		{name: "keepers know nothing, a worker is foreign", hosts: map[string]facts.Host{"c1": of("c1", ""), "c2": of("c2", ""), "c3": of("c3", ""), "w1": of("w1", "y")},
			named: all, unclear: "no control-plane or etcd host of the cluster file belongs to one"},
		{name: "keepers know nothing, workers differ", hosts: map[string]facts.Host{"c1": of("c1", ""), "w1": called("w1", "x", "prod"), "w2": called("w2", "y", "prod")},
			named: all, unclear: "the hosts named belong to different clusters"},
		{name: "those that are not named do not count", hosts: map[string]facts.Host{"w1": called("w1", "x", "prod"), "w2": called("w2", "y", "prod")}, named: []string{"w1"},
			id: "x", unclear: "only 0 of 3 control-plane and etcd hosts answered"},
		{name: "keepers disagree", hosts: map[string]facts.Host{"c1": called("c1", "x", "prod"), "c2": called("c2", "y", "prod"), "c3": called("c3", "x", "prod")}, named: all,
			unclear: "belong to different clusters"},
		{name: "keepers disagree, one is named", hosts: map[string]facts.Host{"c1": called("c1", "x", "prod"), "c2": of("c2", "y")}, named: []string{"c2"},
			unclear: "belong to different clusters: c1 is of x; c2 is of y"},
	} {
		id, unclear := whose(model(t), c.hosts, c.named)
		if id != c.id || (unclear == "") != (c.unclear == "") || !strings.Contains(unclear, c.unclear) {
			t.Errorf("%s: %q, %q", c.name, id, unclear)
		}
	}
}

func TestWhatMayBeReset(t *testing.T) {
	left := map[string]facts.InventoryHost{"old": {Name: "old", Address: "10.0.0.9", Machine: "machine of old"}, "unseen": {Name: "unseen", Address: "10.0.0.4"}}
	hosts := map[string]facts.Host{"w1": of("w1", "x")}
	for _, c := range []struct {
		name, cluster, unclear string
		i                      facts.Identity
		want                   string
	}{
		{name: "w1", cluster: "x", i: of("w1", "x").Identity},
		{name: "w1", cluster: "x", i: of("w1", "").Identity},
		{name: "w1", cluster: "x", i: of("w1", "y").Identity, want: "w1 belongs to another cluster, called y (y), and is left as it is"},
		{name: "w1", unclear: "nobody knows", i: of("w1", "x").Identity, want: "is not clear: nobody knows; it is left as it is. Bring back"},
		{name: "w1", unclear: "nobody knows", i: of("w1", "").Identity},
		{name: "w1", cluster: "x", unclear: "nobody knows", i: of("w1", "x").Identity},
		{name: "old", cluster: "x", i: of("old", "x").Identity},
		{name: "old", cluster: "x", i: of("other", "x").Identity, want: "the machine that answers at 10.0.0.9 is not the old that left the cluster file"},
		{name: "unseen", cluster: "x", i: of("unseen", "x").Identity},
		{name: "unseen", cluster: "x", i: of("w1", "x").Identity, want: "the machine that answers at 10.0.0.4 is w1 by now"},
	} {
		r := resetting{Session: &Session{o: Options{Cluster: model(t)}}, named: []string{c.name}, left: left, hosts: hosts, cluster: c.cluster, unclear: c.unclear}
		err := r.mayReset(c.name, c.i)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %q in a reset of %q: %v", c.name, c.i.Cluster, c.cluster, err)
		}
	}
}

// A member of a living etcd is not reset by itself: its data would be gone, and it would still count.
func TestWhoIsNeeded(t *testing.T) {
	ids := map[string]string{"c1": "a", "c2": "b", "c3": "c", "old": "d"}
	// living makes a host whose member knows the members of some hosts.
	living := func(name string, quorum bool, members ...string) facts.Host {
		f := of(name, "x")
		f.Kubernetes = facts.Kubernetes{Formed: true, Etcd: facts.Etcd{Data: true, Log: true, ID: ids[name], Quorum: quorum}}
		for _, m := range members {
			f.Kubernetes.Etcd.Members = append(f.Kubernetes.Etcd.Members, facts.EtcdMember{ID: ids[m], Name: m})
		}
		return f
	}
	silent := func(f facts.Host) facts.Host {
		f.Kubernetes.Etcd.ID, f.Kubernetes.Etcd.Members, f.Kubernetes.Etcd.Quorum = "", nil, false
		return f
	}
	empty := silent(living("c3", false))
	empty.Kubernetes.Etcd.Data, empty.Kubernetes.Etcd.Log = false, false
	begun := living("c3", false, "c1", "c2", "c3")
	begun.Kubernetes.Formed = false
	three := []string{"c1", "c2", "c3"}
	plane := of("c1", "x")
	plane.Kubernetes = facts.Kubernetes{Formed: true, Authorities: map[string]facts.Authority{pki.Kubernetes: {Key: true}}}
	events := of("c3", "x")
	events.Kubernetes = facts.Kubernetes{Formed: true, Events: living("c3", true, three...).Kubernetes.Etcd}
	c1, c2, c3 := living("c1", true, three...), living("c2", true, three...), living("c3", true, three...)
	for _, c := range []struct {
		name  string
		hosts map[string]facts.Host
		named []string
		want  string
	}{
		{name: "a worker", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": c3, "w1": of("w1", "x")}, named: []string{"w1"}},
		{name: "a member", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": c3}, named: []string{"c3"}, want: "c3: carries a member of etcd"},
		{name: "a member and a worker", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": c3, "w1": of("w1", "x")}, named: []string{"w1", "c3"}, want: "c3: carries a member of etcd"},
		{name: "all members, but not all hosts", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": c3}, named: three, want: "c1, c2, c3: carries a member"},
		{name: "the last keys, while etcd is elsewhere", hosts: map[string]facts.Host{"c1": plane, "c2": c2}, named: []string{"c1"}, want: "c1: no other host that answers has the keys of the cluster"},
		{name: "keys that another has, too", hosts: map[string]facts.Host{"c1": plane, "c3": plane, "c2": c2}, named: []string{"c1"}},
		{name: "a member of the etcd for events", hosts: map[string]facts.Host{"c1": plane, "c3": events}, named: []string{"c3"}, want: "c3: carries a member of etcd-events"},
		{name: "all hosts", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": c3}, named: []string{"c3", "w2", "c1", "w1", "c2"}},
		{name: "a cluster that was never whole", hosts: map[string]facts.Host{"c1": of("c1", "x"), "c3": begun}, named: []string{"c3"}},
		{name: "its data is gone", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": empty}, named: []string{"c3"}},
		{name: "it was taken out", hosts: map[string]facts.Host{"c1": living("c1", true, "c1", "c2"), "c3": living("c3", false, three...)}, named: []string{"c3"}},
		{name: "it was taken out, and ended", hosts: map[string]facts.Host{"c1": living("c1", true, "c1", "c2"), "c3": silent(c3)}, named: []string{"c3"}},
		{name: "it does not answer, and is a member", hosts: map[string]facts.Host{"c1": c1, "c2": c2, "c3": silent(c3)}, named: []string{"c3"}, want: "c3: carries a member"},
		{name: "no quorum, so nobody knows", hosts: map[string]facts.Host{"c1": living("c1", false, "c1", "c2"), "c3": c3}, named: []string{"c3"}, want: "take it out of the cluster file and apply"},
		{name: "the host does not answer", hosts: map[string]facts.Host{"c1": c1, "c2": c2}, named: []string{"c3"}},
		{name: "it left the file, and is a member", hosts: map[string]facts.Host{"c1": living("c1", true, "c1", "old"), "old": living("old", true, "c1", "old")}, named: []string{"old"},
			want: "\"kubewright apply\" has it leave in order"},
		{name: "it left the file, and is none", hosts: map[string]facts.Host{"c1": c1, "old": living("old", false, "c1", "old")}, named: []string{"old"}},
		{name: "it left the file, and nobody knows", hosts: map[string]facts.Host{"c1": silent(c1), "old": living("old", false, "c1", "old")}, named: []string{"old"}},
	} {
		err := needed(model(t), c.hosts, c.named)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

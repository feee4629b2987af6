package etcd

import (
	"maps"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

const etcdImage = "registry.k8s.io/etcd:3.7.3-0"

// left is a host with a member that has data and no quorum.
func left() facts.Host {
	return facts.Host{Kubernetes: facts.Kubernetes{Formed: true, Manifests: map[string]string{"etcd.yaml": etcdImage},
		Etcd: facts.Etcd{Data: true, Log: true, ID: "1", InitialCluster: "cp1=https://10.0.0.11:2380", Unwell: "no leader"}}}
}

func TestMayRecover(t *testing.T) {
	quorum := func(members ...facts.EtcdMember) facts.Host {
		f := left()
		f.Kubernetes.Etcd.Quorum, f.Kubernetes.Etcd.Members = true, members
		return f
	}
	change := func(do func(k *facts.Kubernetes)) facts.Host {
		f := left()
		do(&f.Kubernetes)
		return f
	}
	for _, c := range []struct {
		name, host string
		hosts      map[string]facts.Host
		again      bool
		want       string
	}{
		{"one is left", "cp1", map[string]facts.Host{"cp1": left()}, false, ""},
		{"another is left, too", "cp1", map[string]facts.Host{"cp1": left(), "cp2": left()}, false, ""},
		{"its manifest is gone", "cp1", map[string]facts.Host{"cp1": change(func(k *facts.Kubernetes) { k.Manifests = nil })}, false, ""},
		{"was cut off", "cp1", map[string]facts.Host{"cp1": quorum(facts.EtcdMember{ID: "1"}), "cp2": left()}, true, ""},
		{"it has a quorum", "cp1", map[string]facts.Host{"cp1": quorum(facts.EtcdMember{ID: "1"}, facts.EtcdMember{ID: "2"})}, false, "etcd has a quorum, says its member on cp1: there is nothing to recover"},
		{"another has", "cp1", map[string]facts.Host{"cp1": left(), "cp2": quorum(facts.EtcdMember{ID: "2"})}, false, "etcd has a quorum, says its member on cp2"},
		{"one that left the file has", "cp1", map[string]facts.Host{"cp1": left(), "old": quorum(facts.EtcdMember{ID: "3"})}, false, "says its member on old"},
		{"both", "cp1", map[string]facts.Host{"cp1": quorum(facts.EtcdMember{ID: "1"}), "cp2": quorum(facts.EtcdMember{ID: "2"})}, false, "says its member on cp2"},
		{"no log", "cp1", map[string]facts.Host{"cp1": change(func(k *facts.Kubernetes) { k.Etcd.Log = false })}, false, "there is no write-ahead log in /var/lib/etcd/member/wal"},
		{"a learner", "cp1", map[string]facts.Host{"cp1": change(func(k *facts.Kubernetes) { k.Etcd.Learner = true })}, false, "is a learner"},
		{"data elsewhere", "cp1", map[string]facts.Host{"cp1": change(func(k *facts.Kubernetes) { k.Etcd.DataDir = "/data" })}, false, "say etcd.dataDir: /data"},
		{"another version", "cp1", map[string]facts.Host{"cp1": change(func(k *facts.Kubernetes) { k.Manifests["etcd.yaml"] = "registry.k8s.io/etcd:3.6.0-0" })}, false, "a recovery is no upgrade"},
		{"a worker", "w1", map[string]facts.Host{"w1": left()}, false, "the cluster file has no member of etcd on w1"},
		{"nobody", "x", nil, false, "the cluster file has no member of etcd on x"},
		{"silent", "cp1", map[string]facts.Host{"cp2": left()}, false, "cp1 does not answer"},
	} {
		cl := load(t, three, "")
		again, err := MayRecover(Input{Cluster: cl, Etcd: cl.MainEtcd(), Hosts: c.hosts, Bundle: testBundle()}, c.host)
		if c.want == "" && (err != nil || again != c.again) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v; want %q", c.name, again, err, c.want)
		}
	}
}

func TestRecovery(t *testing.T) {
	c := load(t, three, "")
	in := RecoveryInput{
		Input: Input{Cluster: c, Etcd: c.MainEtcd(), Hosts: map[string]facts.Host{"cp1": left(), "cp2": left()}, Bundle: testBundle(), RuntimeEndpoint: "unix:///s"},
		Host:  *c.Host("cp1"), Others: []string{"cp2", "old"},
	}
	steps, err := Recovery(in)
	if err != nil || plan.Check(steps, nil) != nil || len(steps) != 3 {
		t.Fatalf("%v, %v", steps, err)
	}
	for i, host := range in.Others {
		s := steps[i]
		gone, ends := s.Resources[0].(resource.StaticPodsGone)
		aside, kept := s.Resources[1].(resource.SetAside)
		if s.Host != host || !ends || gone.Names[0] != "etcd" || len(gone.Names) != 1 || !kept || aside.Path != "/var/lib/etcd/member" || aside.Unless != "" {
			t.Errorf("%+v", s)
		}
	}
	alone := steps[2]
	waits := map[string]bool{}
	for _, r := range alone.Requires {
		for _, id := range r.Of {
			waits[id.String()] = true
		}
	}
	if alone.Host != "cp1" || !maps.Equal(waits, map[string]bool{"cp2 etcd ends": true, "old etcd ends": true}) || len(alone.Ensures) != 2 {
		t.Errorf("it waits for %v: %+v", waits, alone)
	}
	settles, err := in.Settling()
	if err != nil {
		t.Fatal(err)
	}
	forced, usual := manifestOf(t, alone), manifestOf(t, settles)
	if !strings.Contains(forced, "--force-new-cluster=true\n") || strings.Contains(usual, "force-new") {
		t.Errorf("the member is alone with\n%s\nand settles with\n%s", forced, usual)
	}
	// An apply that comes after finds what it would write itself.
	all, _ := Steps(Input{Cluster: c, Etcd: c.MainEtcd(), Hosts: in.Hosts, Bundle: testBundle(), RuntimeEndpoint: "unix:///s"})
	for _, s := range all {
		if s.Host == "cp1" && s.Name == Step && manifestOf(t, s) != usual {
			t.Errorf("apply would write\n%s\nafter\n%s", manifestOf(t, s), usual)
		}
	}
	in.Bundle.Parts = nil
	if _, err := Recovery(in); err == nil {
		t.Error("without an image there is a recovery")
	}
}

func manifestOf(t *testing.T, s plan.Step) string {
	t.Helper()
	f, ok := s.Resources[len(s.Resources)-1].(resource.File)
	if !ok || f.Path != "/etc/kubernetes/manifests/etcd.yaml" {
		t.Fatalf("%+v", s)
	}
	return string(f.Content)
}

package converge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
	"github.com/kubewright/kubewright/internal/run"
)

const etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"

// lost are three control planes of which c3 does not answer, and none has a quorum. Members of etcd there are only as far as facts say.
type lost struct {
	machines map[string]*fake.Machine
	etcd     map[string]facts.Etcd
	serving  sync.WaitGroup
}

type anyLock struct{}

func (anyLock) TryLock(agent.Holder) (func(), *agent.Holder, error) { return func() {}, nil, nil }

func newLost(t *testing.T) *lost {
	t.Helper()
	l := &lost{machines: map[string]*fake.Machine{}, etcd: map[string]facts.Etcd{}}
	for _, name := range []string{"c1", "c2"} {
		m := fake.New(name, nil)
		m.SetRuntime("unix:///run/containerd/containerd.sock", new(fake.Runtime))
		for path, content := range map[string]string{etcdManifest: "begun with\n", "/var/lib/etcd/member/wal/0.wal": "data of " + name, bootFile: "boot 1\n"} {
			if err := m.Env(nil).Files.Write(path, resource.Attributes{Mode: 0o600}, strings.NewReader(content)); err != nil {
				t.Fatal(err)
			}
		}
		l.machines[name] = m
		l.etcd[name] = facts.Etcd{Data: true, Log: true, ID: name, Unwell: "no leader", InitialCluster: "c1=https://10.0.0.1:2380"}
	}
	t.Cleanup(l.serving.Wait)
	return l
}

func (l *lost) open(t *testing.T) *converge.Session {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\nhosts:\n- {name: \"c[1-3]\", address: \"10.0.0.[1-3]\", roles: [control-plane]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := converge.Open(t.Context(), converge.Options{
		Cluster: &cluster.Cluster{Cluster: spec}, Holder: agent.Holder{Run: "run 1"}, Events: func(event.Event) {}, Blobs: noBlobs{}, Run: run.Options{WellWithin: time.Millisecond},
		Connect: func(_ context.Context, h v1alpha1.Host, _ func(string)) (io.ReadWriteCloser, error) {
			m := l.machines[h.Name]
			if m == nil {
				return nil, errors.New("no route to host")
			}
			here, there := net.Pipe()
			l.serving.Go(func() {
				_ = agent.Serve(context.Background(), there, agent.ServeOptions{Env: *m.Env(nil), Lock: anyLock{}, Facts: func(_ context.Context, env *resource.Env) (facts.Host, error) {
					return facts.Host{Hostname: h.Name, Clock: env.Kernel.Now(), Identity: facts.Identity{Machine: "machine of " + h.Name, Cluster: "x", ClusterName: "prod"},
						Kubernetes: facts.Kubernetes{Formed: true, Etcd: l.etcd[h.Name]}}, nil
				}}) // the test sees what comes of it
			})
			return here, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (l *lost) content(t *testing.T, host, path string) string {
	t.Helper()
	f, err := l.machines[host].Env(nil).Files.Open(path)
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A recovery ends other members before the one that is left is alone, is cut off there, since no etcd runs here, and goes on the next time.
func TestRecoverEtcd(t *testing.T) {
	l := newLost(t)
	b := &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Image, Name: "registry.k8s.io/etcd:3.7.3-0", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("e", 64)}.String()}}}
	recovers := func(answer error) (converge.EtcdRecovery, error) {
		var seen converge.EtcdRecovery
		err := l.open(t).RecoverEtcd(t.Context(), b, facts.MainEtcd, "c1", func(r converge.EtcdRecovery) error {
			seen = r
			return answer
		})
		return seen, err
	}
	asFound := l.machines["c2"].State()
	r, err := recovers(converge.ErrDeclined)
	if !errors.Is(err, converge.ErrDeclined) || r.Again || !slices.Equal(r.Ends, []string{"c2"}) || !slices.Equal(r.Silent, []string{"c3"}) || len(r.Plan.Steps) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if now := l.machines["c2"].State(); now["path "+etcdManifest] != asFound["path "+etcdManifest] || l.content(t, "c1", etcdManifest) != "begun with\n" {
		t.Error("it was declined, and something was done")
	}

	_, err = recovers(nil)
	if err == nil || !strings.Contains(err.Error(), "c1: ") || !strings.Contains(err.Error(), "run the command again, before anything else") {
		t.Errorf("%v", err)
	}
	aside, _ := l.machines["c2"].Env(nil).Files.List("/var/lib/etcd")
	if l.content(t, "c2", etcdManifest) != "" || len(aside) != 1 || !strings.HasPrefix(aside[0], "member.aside-") {
		t.Errorf("c2 has a member, or its data is not beside: %v", aside)
	}
	if m := l.content(t, "c1", etcdManifest); !strings.Contains(m, "--force-new-cluster=true\n") {
		t.Errorf("c1 has\n%s", m)
	}
	if l.content(t, "c1", "/var/lib/etcd/member/wal/0.wal") != "data of c1" {
		t.Error("the data that counts is gone")
	}

	l.etcd["c2"] = facts.Etcd{}
	l.etcd["c1"] = facts.Etcd{Data: true, Log: true, ID: "c1", Quorum: true, Members: []facts.EtcdMember{{ID: "c1", Name: "c1"}}, InitialCluster: "c1=https://10.0.0.1:2380"}
	r, err = recovers(nil)
	if err == nil || !r.Again || !strings.Contains(err.Error(), "may still forget others") {
		t.Errorf("%+v, %v", r, err)
	}
	if m := l.content(t, "c1", etcdManifest); m == "" || strings.Contains(m, "force-new-cluster") {
		t.Errorf("c1 has\n%s", m)
	}

	l.etcd["c2"] = facts.Etcd{ID: "c2", Quorum: true}
	if _, err := recovers(nil); err == nil || !strings.Contains(err.Error(), "there is nothing to recover") {
		t.Errorf("with a quorum: %v", err)
	}
}

// One host that is left of three is enough, although it has not the locks of most.
func TestRecoverEtcdOfTheLastHost(t *testing.T) {
	l := newLost(t)
	delete(l.machines, "c2")
	b := &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Image, Name: "registry.k8s.io/etcd:3.7.3-0", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("e", 64)}.String()}}}
	var silent []string
	err := l.open(t).RecoverEtcd(t.Context(), b, facts.MainEtcd, "c1", func(r converge.EtcdRecovery) error {
		silent = r.Silent
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "run the command again") || !slices.Equal(silent, []string{"c2", "c3"}) || !strings.Contains(l.content(t, "c1", etcdManifest), "force-new-cluster") {
		t.Errorf("%q, %v", silent, err)
	}
	if err := l.open(t).RecoverEtcd(t.Context(), b, facts.MainEtcd, "c2", func(converge.EtcdRecovery) error { return nil }); err == nil || !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("from one that does not answer: %v", err)
	}
}

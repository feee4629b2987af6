package converge

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	etcdcomponent "github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// externalEtcdFile is a cluster of two control planes and a worker with an etcd of the user's, whose files it writes.
func externalEtcdFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.NewAuthority("ours", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.NewKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pki.Sign(ca, pki.Request{CommonName: "api", Client: true, Algorithm: pki.ECDSAP256, Validity: time.Hour}, request, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"ca.crt": ca.Certificate, "client.crt": certificate, "client.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "- {name: cp1, address: 10.0.0.11, roles: [control-plane]}\n- {name: cp2, address: 10.0.0.12, roles: [control-plane]}\n" + workerFile +
		strings.ReplaceAll("etcd: {external: {endpoints: ['https://10.0.0.41:2379', 'https://10.0.0.42:2379'], ca: DIR/ca.crt, certificate: DIR/client.crt, key: DIR/client.key}}\n", "DIR", dir)
}

func TestStandardWithAnEtcdOfTheUsers(t *testing.T) {
	file := externalEtcdFile(t)
	steps, problems := shape(t, file, nil)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("it is refused: %q", got)
	}
	if got := hostsOf(steps, etcdcomponent.Step); !slices.Equal(got, []string{"cp1", "cp2"}) {
		t.Errorf("these are given what they come to it with: %q", got)
	}
	for _, s := range steps {
		for _, r := range s.Resources {
			switch path := r.ID().Name; {
			case strings.HasSuffix(path, "/manifests/etcd.yaml"), strings.HasSuffix(path, "/apiserver-etcd-client"):
				t.Errorf("%s has %s", s.StepID, path)
			case strings.HasPrefix(path, resource.ExternalEtcdDir) && s.Host == "w1":
				t.Errorf("a worker gets %s", path)
			case strings.HasSuffix(path, "/manifests/kube-apiserver.yaml"):
				content := string(r.(resource.File).Content)
				for _, flag := range []string{"--etcd-servers=https://10.0.0.41:2379,https://10.0.0.42:2379", "--etcd-prefix=/registry", "--etcd-keyfile=" + resource.ExternalEtcdDir + "/client.key"} {
					if !strings.Contains(content, flag+"\n") {
						t.Errorf("the API server of %s has no %s", s.Host, flag)
					}
				}
			}
		}
	}
	own := plan.StepID{Host: "cp2", Name: controlplane.Step}
	if !waitsFor(steps, own, plan.StepID{Host: "cp2", Name: etcdcomponent.Step}) {
		t.Error("an API server does not wait for what it comes to etcd with")
	}
	if !waitsFor(steps, plan.StepID{Host: "cp1", Name: etcdcomponent.Formed}, plan.StepID{Host: "cp1", Name: controlplane.Step}) {
		t.Error("it is remembered before an API server answers")
	}
	config := ""
	for _, o := range objects(steps) {
		if strings.HasSuffix(o.ID().Name, "kubeadm-config") {
			config = string(o.Object)
		}
	}
	if !strings.Contains(config, "external") || !strings.Contains(config, resource.ExternalEtcdDir+"/client.crt") {
		t.Errorf("kubeadm is told:\n%s", config)
	}
}

// A cluster keeps the kind of etcd that it was born with.
func TestKindOfEtcdStays(t *testing.T) {
	external := facts.Kubernetes{Formed: true, External: "c1"}
	if _, problems := shape(t, planesFile+workerFile, map[string]facts.Kubernetes{"cp1": external}); !strings.Contains(strings.Join(blocking(problems), "\n"), "etcd.external cannot be taken back") {
		t.Errorf("without it: %q", blocking(problems))
	}
	plane, worker := living(t)
	is := map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "w1": worker}
	if _, problems := shape(t, externalEtcdFile(t), is); !strings.Contains(strings.Join(blocking(problems), "\n"), "etcd.external cannot be asked for") {
		t.Errorf("with it: %q", blocking(problems))
	}
}

func TestStatusOfAnEtcdOfTheUsers(t *testing.T) {
	const a, b = "https://a:2379", "https://b:2379"
	well := func(url, id string) etcd.Server {
		return etcd.Server{URL: url, Cluster: "c", ID: id, Leader: "1", Version: "3.6.1", Size: 10, Quota: 100, Holds: 5}
	}
	silent := etcd.Server{URL: b, Unwell: "connection refused"}
	for name, c := range map[string]struct {
		says map[string][]etcd.Server
		text string
		want []string // findings, parts of them
	}{
		"well":              {map[string][]etcd.Server{"cp1": {well(a, "1"), well(b, "2")}, "cp2": {well(a, "1"), well(b, "2")}}, "your own; 2 of 2 endpoints answer all control planes", nil},
		"one not to one":    {map[string][]etcd.Server{"cp1": {well(a, "1"), silent}, "cp2": {well(a, "1"), well(b, "2")}}, "your own; 1 of 2 endpoints", []string{"your etcd does not answer at " + b + ", asked from cp1: connection refused"}},
		"none":              {map[string][]etcd.Server{"cp1": {{URL: a, Unwell: "no route"}, silent}}, "and none that has a quorum with it", []string{"etcd: your own; 0 of 2", "at " + a, "at " + b}},
		"nobody could look": {nil, "of the others nothing is known", []string{"etcd: your own; 0 of 2"}},
		"nearly full":       {map[string][]etcd.Server{"cp1": {{URL: a, Cluster: "c", ID: "1", Size: 90, Quota: 100}, well(b, "2")}}, "2 of 2", []string{"the database of your etcd has 90%"}},
		"an alarm":          {map[string][]etcd.Server{"cp1": {{URL: a, Cluster: "c", ID: "1", Alarms: []string{"NOSPACE"}}, well(b, "2")}}, "2 of 2", []string{"your etcd has the alarm NOSPACE"}},
	} {
		w := newWorld(t)
		w.cluster.Etcd.External = v1alpha1.ExternalEtcd{Endpoints: []string{a, b}, Prefix: "/registry"}
		for host, servers := range c.says {
			var f resource.Found
			f.Add(etcdcomponent.ExternalReport(w.cluster).ID(), servers, nil)
			w.found[host] = f
		}
		s := w.externalEtcd()
		if !s.External || !strings.Contains(s.Text(), c.text) || len(s.Members) != 2 {
			t.Errorf("%s: it is %+v: %q; want %q", name, s, s.Text(), c.text)
		}
		f := &found{}
		ofExternalEtcd(f, s)
		same := len(f.list) == len(c.want)
		for i := range min(len(f.list), len(c.want)) {
			same = same && strings.Contains(f.list[i].Message, c.want[i])
		}
		if !same {
			t.Errorf("%s: it finds %+v; want %q", name, f.list, c.want)
		}
	}
}

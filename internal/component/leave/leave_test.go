package leave

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

func load(t *testing.T, hosts string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: test\nhosts:"+hosts))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func worker(name string) facts.Leaver {
	return facts.Leaver{InventoryHost: facts.InventoryHost{Name: name, Roles: []string{"worker"}}, Host: &facts.Host{}}
}

func plane(name string) facts.Leaver {
	l := worker(name)
	l.Roles = []string{"control-plane"}
	l.Host.Kubernetes.Manifests = map[string]string{"kube-apiserver.yaml": "x", "etcd.yaml": "x"}
	return l
}

func member(name string) facts.Leaver {
	l := worker(name)
	l.Roles = []string{"etcd"}
	l.Host.Kubernetes.Manifests = map[string]string{"etcd.yaml": "x"}
	return l
}

func dead(l facts.Leaver) facts.Leaver {
	l.Host, l.Silent = nil, "no route to host"
	return l
}

// story is what is done, and what waits for what.
func story(steps []plan.Step, problems []plan.Problem) string {
	var b strings.Builder
	for _, s := range steps {
		var does, waits []string
		for _, r := range s.Resources {
			does = append(does, r.ID().String())
		}
		if s.Reset {
			does = append(does, "put back")
		}
		for _, c := range s.Requires {
			waits = append(waits, c.Name)
		}
		fmt.Fprintf(&b, "%s [%s] after %s\n", s.StepID, strings.Join(does, ", "), strings.Join(waits, "; "))
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "careful %v: %s\n", p.Careful, p)
	}
	return b.String()
}

func TestSteps(t *testing.T) {
	const three = `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
`
	stays := facts.Host{Kubernetes: facts.Kubernetes{Manifests: map[string]string{"kube-apiserver.yaml": "x"}}}
	for _, c := range []struct {
		name     string
		leaving  []facts.Leaver
		hosts    map[string]facts.Host
		together int
		want     string
	}{
		{name: "nobody", hosts: map[string]facts.Host{"cp1": stays, "w1": {}}},
		{name: "a worker", leaving: []facts.Leaver{worker("w9")}, want: `
cp1 drain w9 [drain w9] after api
w9 reset [put back] after cp1 drain w9; member of w9
cp1 node w9 leaves [node-absent w9] after w9 reset
careful true: w9: left the cluster file: its Pods move away, and it is put back as it was found
`},
		{name: "a worker that does not answer", leaving: []facts.Leaver{dead(worker("w9"))}, want: `
cp1 drain w9 [drain w9] after api
cp1 node w9 leaves [node-absent w9] after cp1 drain w9; member of w9
careful true: w9: left the cluster file and does not answer (no route to host): it leaves the cluster without having been put back, and what still runs on it is nobody's any more
`},
		{name: "control planes leave one after the other, workers two at a time", leaving: []facts.Leaver{plane("cp8"), dead(plane("cp9")), worker("w7"), worker("w8"), worker("w9")}, together: 2, want: `
cp1 drain cp8 [drain cp8] after api
cp8 control plane leaves [static-pods-gone kube-apiserver,kube-controller-manager,kube-scheduler] after cp1 drain cp8; balanced
cp8 reset [put back] after cp1 drain cp8; cp8 control plane leaves; member of cp8
cp1 node cp8 leaves [node-absent cp8] after cp8 reset
cp1 drain cp9 [drain cp9] after api; cp1 node cp8 leaves
cp1 node cp9 leaves [node-absent cp9] after cp1 drain cp9; member of cp9
cp1 drain w7 [drain w7] after api
w7 reset [put back] after cp1 drain w7; member of w7
cp1 node w7 leaves [node-absent w7] after w7 reset
cp1 drain w8 [drain w8] after api
w8 reset [put back] after cp1 drain w8; member of w8
cp1 node w8 leaves [node-absent w8] after w8 reset
cp1 drain w9 [drain w9] after api; cp1 node w7 leaves
w9 reset [put back] after cp1 drain w9; member of w9
cp1 node w9 leaves [node-absent w9] after w9 reset
careful true: cp8: left the cluster file: its Pods move away, and it is put back as it was found
careful true: cp9: left the cluster file and does not answer (no route to host): it leaves the cluster without having been put back, and what still runs on it is nobody's any more
careful true: w7: left the cluster file: its Pods move away, and it is put back as it was found
careful true: w8: left the cluster file: its Pods move away, and it is put back as it was found
careful true: w9: left the cluster file: its Pods move away, and it is put back as it was found
`},
		{name: "a member of etcd on a host of its own", leaving: []facts.Leaver{member("e9")}, want: `
cp1 drain e9 [drain e9] after api
e9 reset [put back] after cp1 drain e9; member of e9
cp1 node e9 leaves [node-absent e9] after e9 reset
careful true: e9: left the cluster file: its member leaves etcd, and it is put back as it was found
`},
		{name: "a host that stays, and whose member leaves", hosts: map[string]facts.Host{"w1": {Kubernetes: facts.Kubernetes{Manifests: map[string]string{"etcd.yaml": "x"}}}}, want: `
w1 etcd leaves [] after member of w1
careful true: w1: carries a member of etcd no more: it leaves etcd, and its data goes
`},
		{name: "a control plane that becomes a worker, of which the API server has ended", hosts: map[string]facts.Host{"w1": {Kubernetes: facts.Kubernetes{
			Manifests: map[string]string{"etcd.yaml": "x"}, Authorities: map[string]facts.Authority{"ca": {Key: true}}}}}, want: `
w1 control plane leaves [static-pods-gone kube-apiserver,kube-controller-manager,kube-scheduler] after balanced
w1 etcd leaves [] after member of w1
careful true: w1: is a control plane no more: its API server ends, and its member leaves etcd
`},
		{name: "a control plane that becomes a worker", hosts: map[string]facts.Host{"w1": stays}, want: `
w1 control plane leaves [static-pods-gone kube-apiserver,kube-controller-manager,kube-scheduler] after balanced
w1 etcd leaves [] after member of w1
careful true: w1: is a control plane no more: its API server ends, and its member leaves etcd
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, problems := Steps(Input{Cluster: load(t, three), Hosts: c.hosts, Leaving: c.leaving, Executor: "cp1", Together: c.together,
				Balanced: []plan.Condition{{Name: "balanced"}}, After: []plan.Condition{{Name: "api"}},
				Member: func(host string) []plan.Condition { return []plan.Condition{{Name: "member of " + host}} }})
			if got := story(steps, problems); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
			if err := plan.Check(steps, []plan.Group{{Name: cluster.Workers, AtOnce: 1}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStopped(t *testing.T) {
	in := Input{Cluster: load(t, "\n- {name: cp1, address: 10.0.0.11, roles: [control-plane]}\n"), Hosts: map[string]facts.Host{"cp1": {Kubernetes: facts.Kubernetes{Manifests: map[string]string{"a": "b"}}}},
		Leaving: []facts.Leaver{plane("cp8"), dead(plane("cp9")), worker("w9")}}
	for host, want := range map[string]bool{"cp1": false, "cp8": true, "cp9": false, "w9": false, "nobody": false} {
		if got := len(Stopped(in)(host)) > 0; got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

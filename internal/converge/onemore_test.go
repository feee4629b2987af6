package converge

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// TestOneWorkerMore has a worker come to 5 and to 1,000 hosts: what that changes on the others is the same, and printed.
func TestOneWorkerMore(t *testing.T) {
	plane, worker := living(t)
	few, many := changedByOneMore(t, 5, plane, worker), changedByOneMore(t, 1000, plane, worker)
	for _, what := range few {
		t.Log(what)
	}
	t.Logf("a worker that comes to 5 hosts changes %d resources on others, to 1,000 hosts %d", len(few), len(many))
	if !slices.Equal(few, many) {
		t.Errorf("with 1,000 hosts it is %.2000q, with 5 %q", many, few)
	}
	for _, what := range few {
		if what[:2] != "cp" {
			t.Errorf("it changes something on another worker: %s", what)
		}
	}
}

// changedByOneMore are the resources on others that are new or changed when a worker comes to that many hosts of which three are control planes.
func changedByOneMore(t *testing.T, hosts int, plane, worker facts.Kubernetes) (list []string) {
	t.Helper()
	before, after := resourcesOf(t, hosts, plane, worker), resourcesOf(t, hosts+1, plane, worker)
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if host := newest(hosts + 1); before[id] != after[id] && !strings.HasPrefix(id, host+": ") {
			list = append(list, strings.ReplaceAll(id, host, "the new one"))
		}
	}
	return list
}

// newest is the worker that came last.
func newest(hosts int) string { return fmt.Sprintf("w%d", hosts-4) }

// resourcesOf are those of a living cluster, with all that they are, by host, step and name.
func resourcesOf(t *testing.T, hosts int, plane, worker facts.Kubernetes) map[string]string {
	t.Helper()
	file := "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: ring\nnetwork: {podRanges: [10.128.0.0/11]}\nhosts:\n" +
		"- {name: \"cp[1-3]\", address: \"10.0.0.[11-13]\", roles: [control-plane]}\n"
	for i := range hosts - 3 {
		file += fmt.Sprintf("- {name: w%d, address: 10.1.%d.%d, roles: [worker]}\n", i, i/250, i%250+1)
	}
	all := map[string]string{}
	for _, s := range stepsOfLiving(t, file, plane, worker) {
		for _, r := range s.Resources {
			is, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			all[fmt.Sprintf("%s: %s: %s", s.Host, s.Name, r.ID())] = string(is)
		}
	}
	return all
}

// stepsOfLiving are those of the living cluster of a file.
func stepsOfLiving(t *testing.T, file string, plane, worker facts.Kubernetes) []plan.Step {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	w := Wish{Cluster: c, Hosts: map[string]facts.Host{}, After: func(string) []plan.Condition { return nil }}
	for i, h := range c.Hosts {
		if len(h.InternalAddresses) == 0 {
			c.Hosts[i].InternalAddresses = []string{h.Address}
		}
		f := debian(h)
		if f.Kubernetes = worker; slices.Contains(h.Roles, v1alpha1.ControlPlane) {
			f.Kubernetes = plane
		}
		w.Hosts[h.Name] = f
	}
	w.Keys = func() (Keys, []plan.Problem) { return newKeyring(machines{}.fetch).see(c, w.Hosts) }
	steps, problems := Standard(everything())(w)
	if got := blocking(problems); len(got) > 0 {
		t.Fatalf("in the way stands %q", got)
	}
	return steps
}

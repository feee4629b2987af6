package converge

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

const sansFile = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: ring
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
`

// changed are the resources and probes of a living cluster that are others by another cluster file, sorted.
func changed(t *testing.T, before, after []plan.Step) []string {
	t.Helper()
	all := func(steps []plan.Step) map[string]string {
		is := map[string]string{}
		for _, s := range steps {
			for _, r := range s.Resources {
				b, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				is[fmt.Sprintf("%s: %s: %s", s.Host, s.Name, r.ID())] = string(b)
			}
			for _, p := range s.Ensures {
				b, err := json.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				is[fmt.Sprintf("%s: %s: ensures %s", s.Host, s.Name, p.ID())] = string(b)
			}
		}
		return is
	}
	were, are := all(before), all(after)
	var list []string
	for id := range were {
		if are[id] != were[id] {
			list = append(list, id)
		}
	}
	for id := range are {
		if _, was := were[id]; !was {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// A name more of the API has each API server get another serving certificate, one control plane after the other, and nothing is restarted: API servers read theirs anew.
func TestNameMoreOfTheAPI(t *testing.T) {
	plane, worker := living(t)
	before, after := stepsOfLiving(t, sansFile, plane, worker), stepsOfLiving(t, sansFile+"apiServer: {extraSANs: [api.example.com, 192.0.2.1]}\n", plane, worker)
	const serving = "certificate /etc/kubernetes/pki/apiserver"
	want := []string{
		"cp1: cluster records: object ConfigMap kube-system/kubeadm-config", // kubeadm finds them there
		"cp1: control plane: " + serving, "cp2: control plane: " + serving, "cp3: control plane: " + serving,
	}
	if got := changed(t, before, after); !slices.Equal(got, want) {
		t.Errorf("it changes\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	planes := 0
	for _, s := range after {
		for _, r := range s.Resources {
			if c, ok := r.(resource.Certificate); ok && c.ID().String() == serving {
				planes++
				if !slices.Contains(c.Request.DNSNames, "api.example.com") || s.Group == "" {
					t.Errorf("%s: the certificate is for %q, in the group %q", s.StepID, c.Request.DNSNames, s.Group)
				}
			}
			if triggered, ok := r.(resource.Triggered); ok && slices.ContainsFunc(triggered.TriggeredBy(), func(id resource.ID) bool { return id.String() == serving }) {
				t.Errorf("%s: %s is restarted by it", s.StepID, r.ID())
			}
		}
	}
	if planes != 3 {
		t.Errorf("%d API servers have certificates", planes)
	}
}

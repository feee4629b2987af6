package node

import (
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
endpoint: {kind: keepalived, address: 10.0.0.10}
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp4, address: 10.0.0.14, roles: [control-plane], taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}
- {name: cp5, address: 10.0.0.15, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane, worker], labels: {zone: b}}
- {name: w1, address: 10.0.0.21, roles: [worker], labels: {zone: a, disk: ""}, taints: [{key: gpu, value: "yes", effect: NoExecute}, {key: night, effect: PreferNoSchedule}]}
- {name: w2, address: 10.0.0.22, roles: [worker]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
`

func TestSteps(t *testing.T) {
	for _, c := range []struct{ name, more string }{
		{"flannel", ""},
		{"no-plugin", "network: {plugin: none}\n"}, // readiness is not promised
	} {
		t.Run(c.name, func(t *testing.T) {
			spec, err := v1alpha1.Parse("cluster.yaml", []byte(file+c.more))
			if err != nil {
				t.Fatal(err)
			}
			model, err := cluster.Load(t.Context(), spec, ".")
			if err != nil {
				t.Fatal(err)
			}
			steps := Steps(Input{
				Cluster: model, Hosts: map[string]facts.Host{"cp1": {}, "cp4": {}, "cp2": {}, "w1": {}, "lb1": {}}, // cp3 and w2 did not answer
				API: resource.API{Servers: model.APIServers("cp2")}, Executor: "cp2",
				After: func(host string) []plan.Condition {
					return []plan.Condition{{Name: "the kubelet of " + host + " runs"}}
				},
			})
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, nil)
		})
	}
}

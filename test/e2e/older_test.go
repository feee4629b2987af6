package e2e

import (
	"path/filepath"
	"testing"
)

// TestOlderKubernetes builds a cluster of each version that there is a bundle of, but the newest, which all other tests use.
func TestOlderKubernetes(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	for _, v := range versions(t)[1:] {
		t.Run(v, func(t *testing.T) {
			f := newFixture(t, "older")
			f.machines(t, "up", "--count", "5")
			o := newOperator(t, f, "")
			o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.file(t, "kubernetesVersion: "+v+"\n"))
			o.must(t, "apply", "--yes")
			o.nothing(t, "after apply")
			o.ready(t)
			if got := o.kube(t, "get nodes -o jsonpath={.items[*].status.nodeInfo.kubeletVersion}"); got != v+" "+v+" "+v+" "+v+" "+v {
				t.Errorf("the nodes are of %s", got)
			}
			o.workloads(t, "m4", "m5")
		})
	}
}

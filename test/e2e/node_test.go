package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// kept are Pods on each worker, of which a budget lets none go.
const kept = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: kept}
spec:
  replicas: 2
  selector: {matchLabels: {app: kept}}
  template:
    metadata: {labels: {app: kept}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor, labelSelector: {matchLabels: {app: kept}}}
      containers:
      - {name: kept, image: IMAGE, imagePullPolicy: Never}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: kept}
spec: {minAvailable: 2, selector: {matchLabels: {app: kept}}}
`

// emptied has Pods leave a worker, for somebody to work on it, and be put on it again.
func (o operator) emptied(t *testing.T) {
	t.Helper()
	image := o.on(t, "m4", `crictl images | awk '$1 ~ /\/pause$/ {print $1 ":" $2; exit}'`)
	o.on(t, "m1", "cat >/root/kept.yaml <<'END'\n"+strings.ReplaceAll(kept, "IMAGE", image)+"END\n"+kubectl+"apply -f /root/kept.yaml")
	o.kube(t, "rollout status deployment/kept --timeout=90s")
	o.eventually(t, "the budget to know its Pods", kubectl+"get poddisruptionbudget kept -o jsonpath={.status.currentHealthy}", "2")

	cordoned := func() bool {
		t.Helper()
		var nodes []struct {
			Name     string `json:"name"`
			Cordoned bool   `json:"cordoned"`
		}
		out := o.must(t, "node", "list", "--output", "json")
		if err := json.Unmarshal([]byte(out), &nodes); err != nil || len(nodes) != len(o.names(t)) {
			t.Fatalf("node list says %s, %v", out, err)
		}
		for _, n := range nodes {
			if n.Cordoned && n.Name != "m4" {
				t.Errorf("%s is cordoned", n.Name)
			}
		}
		return strings.Contains(o.must(t, "node", "list"), "m4") && nodes[3].Cordoned
	}
	// Whatever carries Pods, each node has a range of them, which a router could hold a route to.
	if out := o.must(t, "network", "routes", "--format", "ip"); strings.Count(out, "ip route replace ") != len(o.names(t)) {
		t.Errorf("network routes says\n%s", out)
	}
	o.must(t, "node", "cordon", "m4")
	if !cordoned() {
		t.Error("m4 is not cordoned")
	}
	o.nothing(t, "after somebody cordoned m4") // that is theirs to take back
	o.must(t, "node", "uncordon", "m4")
	if cordoned() {
		t.Error("m4 is still cordoned")
	}

	if r := o.run(t, "node", "drain", "m9", "--yes"); r.code != 2 || !strings.Contains(r.stderr, "m1, m2, m3, m4, m5") {
		t.Errorf("a node that is not there: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r := o.run(t, "node", "drain", "m4", "--yes", "--timeout", "10s")
	if r.code != 1 || !strings.Contains(r.stderr, "the PodDisruptionBudget default/kept needs 2 healthy Pods and has 2") || !strings.Contains(r.stdout, "PodDisruptionBudget default/kept: lets no Pod go now") {
		t.Errorf("a drain that a budget blocks exits with %d and says:\n%s%s", r.code, r.stdout, r.stderr)
	}
	if !cordoned() {
		t.Error("m4 is not cordoned after a drain that failed")
	}
	o.kube(t, "delete poddisruptionbudget kept")
	o.must(t, "node", "drain", "m4", "--yes")
	if got := o.kube(t, `get pods --all-namespaces --field-selector spec.nodeName=m4,status.phase=Running -o jsonpath='{range .items[*]}{.metadata.ownerReferences[0].kind}{"\n"}{end}' | sort -u`); got != "DaemonSet" {
		t.Errorf("on m4, which is drained, there are Pods of %q", got)
	}
	if got := o.must(t, "node", "drain", "m4", "--yes"); !strings.Contains(got, "nothing on it that has to leave") {
		t.Errorf("drained again, it says:\n%s", got)
	}
	o.must(t, "node", "uncordon", "m4")
	o.kube(t, "delete -f /root/kept.yaml --ignore-not-found --wait=false")
	o.on(t, "m1", "rm /root/kept.yaml")
	o.ready(t)
}

package resource_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

const (
	readyNode  = `{apiVersion: v1, kind: Node, metadata: {name: m1}, status: {conditions: [{type: Ready, status: "True"}]}}`
	silentNode = `{apiVersion: v1, kind: Node, metadata: {name: m1}, status: {conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: it stopped}]}}`
	webBudget  = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {namespace: default, name: web}, spec: {selector: {matchLabels: {app: web}}}, status: {disruptionsAllowed: 0, desiredHealthy: 2, currentHealthy: 2}}"
)

func podRef(name string) kube.Ref {
	return kube.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: name}
}

// podOf is a Pod on m1 of a controller of some kind, or of none. More goes into its metadata and its spec.
func podOf(name, controller, metadata, spec string) string {
	owner := ""
	if controller != "" {
		owner = ", ownerReferences: [{controller: true, apiVersion: apps/v1, kind: " + controller + ", name: x, uid: x}]"
	}
	return "{apiVersion: v1, kind: Pod, metadata: {namespace: default, name: " + name + ", uid: " + name + owner + metadata + "}, spec: {nodeName: m1" + spec +
		"}, status: {phase: Running, conditions: [{type: Ready, status: \"True\"}]}}"
}

func TestDrainInWords(t *testing.T) {
	var many []string
	for _, name := range []string{"g", "f", "e", "d", "c", "b", "a"} {
		many = append(many, podOf(name, "ReplicaSet", "", ""))
	}
	cordoned := strings.Replace(readyNode, "status:", "spec: {unschedulable: true}, status:", 1)
	for _, c := range []struct {
		name, node string
		objects    []string
		words      string
	}{
		{"no node", "", nil, ""},
		{"an empty node", readyNode, nil, "cordoned: no → yes"},
		{"an empty node that is cordoned", cordoned, nil, ""},
		{"what stays", cordoned, []string{
			podOf("a", "DaemonSet", "", ""), podOf("b", "Node", ", annotations: {kubernetes.io/config.mirror: x}", ""),
			strings.Replace(podOf("c", "Job", "", ""), "Running", "Succeeded", 1), strings.Replace(podOf("d", "", "", ""), "m1", "m2", 1),
		}, ""},
		{"Pods", cordoned, []string{podOf("b", "ReplicaSet", "", ""), podOf("a", "StatefulSet", "", "")}, "Pods: 2 (default/a, default/b) → moved to other nodes"},
		{"many Pods", cordoned, many, "Pods: 7 (default/a, default/b, default/c, default/d, default/e and 2 more) → moved to other nodes"},
		{"a Pod without a controller", cordoned, []string{podOf("job-x", "", "", ", volumes: [{emptyDir: {}}]")}, "Pod default/job-x: present → lost: it has no controller"},
		{"data", cordoned, []string{podOf("a", "ReplicaSet", "", ", volumes: [{name: x, secret: {}}, {name: y, emptyDir: {}}]")},
			"Pods: 1 (default/a) → moved to other nodes\ndata in emptyDir volumes: of default/a → lost"},
		{"a budget that blocks", readyNode, []string{podOf("a", "ReplicaSet", ", labels: {app: web}", ""), webBudget},
			"cordoned: no → yes\nPods: 1 (default/a) → moved to other nodes\nPodDisruptionBudget default/web: lets no Pod go now: it needs 2 healthy Pods and has 2 → waited for, 10m0s at most"},
		{"a budget that cannot tell", cordoned, []string{podOf("a", "ReplicaSet", ", labels: {app: web}", ""),
			strings.Replace(webBudget, "status: {", `status: {conditions: [{type: DisruptionAllowed, status: "False", reason: SyncFailed, message: found no controller}], `, 1)},
			"Pods: 1 (default/a) → moved to other nodes\nPodDisruptionBudget default/web: lets no Pod go now: it cannot be kept account of: found no controller → waited for, 10m0s at most"},
		{"budgets that do not", cordoned, []string{podOf("a", "ReplicaSet", ", labels: {app: web}", ""), podOf("b", "ReplicaSet", ", labels: {app: x}", ""),
			strings.Replace(webBudget, "Allowed: 0", "Allowed: 1", 1), strings.NewReplacer("default", "other", "{matchLabels: {app: web}}", "{}").Replace(webBudget),
			strings.NewReplacer("name: web", "name: none", "selector: {matchLabels: {app: web}}", "").Replace(webBudget)},
			"Pods: 2 (default/a, default/b) → moved to other nodes"},
		{"a budget of all in a namespace", cordoned, []string{podOf("a", "ReplicaSet", "", ""), strings.Replace(webBudget, "{matchLabels: {app: web}}", "{}", 1)},
			"Pods: 1 (default/a) → moved to other nodes\nPodDisruptionBudget default/web: lets no Pod go now: it needs 2 healthy Pods and has 2 → waited for, 10m0s at most"},
		{"a Pod that is not ready, and not missed", cordoned, []string{strings.Replace(podOf("a", "ReplicaSet", ", labels: {app: web}", ""), `"True"`, `"False"`, 1), webBudget}, "Pods: 1 (default/a) → moved to other nodes"},
		{"a Pod that is not ready, and missed", cordoned, []string{
			strings.Replace(podOf("a", "ReplicaSet", ", labels: {app: web}", ""), `"True"`, `"False"`, 1), strings.Replace(webBudget, "currentHealthy: 2", "currentHealthy: 1", 1),
		}, "Pods: 1 (default/a) → moved to other nodes\nPodDisruptionBudget default/web: lets no Pod go now: it needs 2 healthy Pods and has 1 → waited for, 10m0s at most"},
		{"a Pod that is not ready, and may always go", cordoned, []string{
			strings.Replace(podOf("a", "ReplicaSet", ", labels: {app: web}", ""), `"True"`, `"False"`, 1),
			strings.NewReplacer("currentHealthy: 2", "currentHealthy: 1", "spec: {", "spec: {unhealthyPodEvictionPolicy: AlwaysAllow, ").Replace(webBudget),
		}, "Pods: 1 (default/a) → moved to other nodes"},
		{"a Pod that does not run yet", cordoned, []string{strings.Replace(podOf("a", "ReplicaSet", ", labels: {app: web}", ""), "Running", "Pending", 1), webBudget}, "Pods: 1 (default/a) → moved to other nodes"},
		{"two budgets of a Pod", cordoned, []string{podOf("a", "ReplicaSet", ", labels: {app: web}", ""), webBudget, strings.Replace(webBudget, "name: web", "name: more", 1)},
			"Pods: 1 (default/a) → moved to other nodes\nPod default/a: has several PodDisruptionBudgets → cannot be evicted before it has one"},
		{"a silent kubelet", silentNode, []string{podOf("a", "StatefulSet", "", "")},
			"cordoned: no → yes\nPods: 1 (default/a) → moved to other nodes (but nobody will say that they have ended, as its kubelet is silent: NodeStatusUnknown: it stopped)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			for _, o := range append(c.objects, c.node) {
				if o != "" {
					a.Put(o)
				}
			}
			d := resource.Drain{API: api, Node: "m1"}
			o, err := d.Observe(t.Context(), env)
			if got := inWords(d.Diff(o)); err != nil || got != c.words {
				t.Errorf("%v says\n%s\nwant\n%s", err, got, c.words)
			}
			for _, change := range d.Diff(o) {
				if change.Disturbs == (change.What == "cordoned") {
					t.Errorf("%s disturbs: %t", change, change.Disturbs)
				}
			}
		})
	}
}

func TestDrain(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(readyNode)
	stays := []string{"d", "mirror", "done", "elsewhere"}
	a.Put(podOf("d", "DaemonSet", "", ""))
	a.Put(podOf("mirror", "Node", ", annotations: {kubernetes.io/config.mirror: x}", ""))
	a.Put(strings.Replace(podOf("done", "Job", "", ""), "Running", "Failed", 1))
	a.Put(strings.Replace(podOf("elsewhere", "", "", ""), "m1", "m2", 1))
	for _, name := range []string{"a", "b", "c"} {
		a.Put(podOf(name, "ReplicaSet", ", labels: {app: web}", ""))
	}
	a.Put(podOf("alone", "", "", ""))
	a.Put(strings.Replace(webBudget, "Allowed: 0", "Allowed: 1", 1))
	// A controller is faster once; and the budget lets the next one go when one was made elsewhere.
	faster := true
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if r.Method == http.MethodPatch && faster {
			faster = false
			return &kubefake.Failure{Code: 409, Reason: metav1.StatusReasonConflict, Message: "changed"}
		}
		return nil
	})
	var said []string
	env.Progress = func(m string) {
		said = append(said, m)
		a.Put(strings.Replace(webBudget, "Allowed: 0", "Allowed: 1", 1))
	}
	d := resource.Drain{API: api, Node: "m1"}
	if err := d.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, d, env)
	if all := strings.Join(said, "\n"); !strings.HasPrefix(all, "2 Pods are left on m1: default/") || !strings.Contains(all, ": the PodDisruptionBudget default/web needs 2 healthy Pods and has 2") || !strings.Contains(all, "\n1 Pod is left on m1: ") {
		t.Errorf("it said\n%s", all)
	}
	for _, name := range stays {
		if a.Object(podRef(name)) == nil {
			t.Errorf("%s is gone", name)
		}
	}
	if n := a.Object(m1); n.GetAnnotations()[resource.LeavingAnnotation] == "" {
		t.Errorf("its cordon does not say what it is for: %v", n.GetAnnotations())
	}
	a.Remove(m1)
	if err := d.Apply(t.Context(), env); err != nil {
		t.Errorf("a node that is not there: %v", err)
	}
}

// Whoever cordoned it before meant it.
func TestDrainOfACordonedNode(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(strings.Replace(readyNode, "status:", "spec: {unschedulable: true}, status:", 1))
	a.Put(podOf("a", "ReplicaSet", "", ""))
	d := resource.Drain{API: api, Node: "m1"}
	if err := d.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, d, env)
	if n := a.Object(m1); len(n.GetAnnotations()) > 0 {
		t.Errorf("it is taken for one that leaves: %v", n.GetAnnotations())
	}
	n := resource.Node{API: api, Name: "m1"}
	settled(t, n, env)
}

func TestPodsThatDoNotLeave(t *testing.T) {
	const again = `The node stays cordoned: run it again to go on, or "kubewright node uncordon m1" to give it up.`
	for _, c := range []struct {
		name, node string
		objects    []string
		lines      []string
	}{
		{"why", readyNode, []string{
			podOf("budget-1", "ReplicaSet", ", labels: {app: web}", ""), podOf("budget-2", "ReplicaSet", ", labels: {app: web}", ""), webBudget,
			podOf("budgets", "ReplicaSet", ", labels: {app: x}", ""), strings.NewReplacer("name: web", "name: x", "app: web", "app: x").Replace(webBudget), strings.NewReplacer("name: web", "name: z", "app: web", "app: x").Replace(webBudget),
			podOf("finalizer", "ReplicaSet", ", finalizers: [a.b/c]", ""), podOf("grace", "ReplicaSet", "", ", terminationGracePeriodSeconds: 3600"),
			podOf("late", "ReplicaSet", `, deletionTimestamp: "2026-01-02T03:04:05Z", deletionGracePeriodSeconds: 30`, ""), podOf("webhook", "ReplicaSet", "", ""),
		}, []string{
			"after 3s 7 Pods are still on m1:",
			"default/budget-1: the PodDisruptionBudget default/web needs 2 healthy Pods and has 2",
			"default/budget-2: the PodDisruptionBudget default/web needs 2 healthy Pods and has 2",
			"default/budgets: has several PodDisruptionBudgets, with which no Pod can be evicted: default/x, default/z",
			"default/finalizer: is deleted, but kept by the finalizer a.b/c",
			"default/grace: may take 1h0m0s to end (its terminationGracePeriodSeconds)",
			"default/late: was to have ended by 03:04:05 UTC and has not",
			"default/webhook: a webhook says no",
			"A budget lets a Pod go when more of its Pods are healthy than it needs: give them room on other nodes, more replicas, or it a lower number.",
			"Delete all but one of several budgets of a Pod.",
			"Who set a finalizer has to do its work, or it is taken away by hand: kubectl --namespace NAMESPACE edit pod NAME.",
			"Wait longer for Pods that may take longer to end.",
			`"journalctl -u kubelet" on the node says why a Pod does not end.`,
		}},
		{"silent", silentNode, []string{podOf("a", "ReplicaSet", "", ", terminationGracePeriodSeconds: 30")}, []string{
			"after 3s 1 Pod is still on m1:",
			"default/a: is deleted, but its kubelet does not say that it has ended: NodeStatusUnknown: it stopped",
			"What is deleted on a machine that is silent goes when the machine speaks again, or when its node is taken out of the cluster.",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, env, api := withAPI(t)
			for _, o := range append(c.objects, c.node) {
				a.Put(o)
			}
			a.SetFailure(func(r *http.Request) *kubefake.Failure {
				if !strings.HasSuffix(r.URL.Path, "/webhook/eviction") {
					return nil
				}
				return &kubefake.Failure{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "a webhook says no"}
			})
			err := resource.Drain{API: api, Node: "m1", Timeout: 3 * time.Second}.Apply(t.Context(), env)
			if want := strings.Join(append(c.lines, again), "\n    "); err == nil || err.Error() != want {
				t.Errorf("it says\n%v\nwant\n%s", err, want)
			}
		})
	}
	t.Run("one that comes again", func(t *testing.T) {
		t.Parallel()
		a, env, api := withAPI(t)
		a.Put(readyNode)
		a.Put(podOf("a", "ReplicaSet", "", ", terminationGracePeriodSeconds: 30"))
		env.Progress = func(string) {
			if a.Object(podRef("a")) != nil {
				a.Remove(podRef("a"))
				a.Put(podOf("b", "ReplicaSet", "", ", terminationGracePeriodSeconds: 30, tolerations: [{operator: Exists}]"))
			}
		}
		err := resource.Drain{API: api, Node: "m1", Timeout: 5 * time.Second}.Apply(t.Context(), env)
		if err == nil || !strings.Contains(err.Error(), "default/b: may take 30s to end (its terminationGracePeriodSeconds); it was put there although the node is cordoned") || !strings.Contains(err.Error(), "take that toleration from it") {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("nobody knows", func(t *testing.T) {
		t.Parallel()
		a, env, api := withAPI(t)
		a.Put(readyNode)
		a.SetFailure(func(r *http.Request) *kubefake.Failure {
			if !strings.HasSuffix(r.URL.Path, "/pods") {
				return nil
			}
			return &kubefake.Failure{Code: 500, Reason: metav1.StatusReasonInternalError, Message: "no leader"}
		})
		err := resource.Drain{API: api, Node: "m1", Timeout: time.Second}.Apply(t.Context(), env)
		if err == nil || !strings.Contains(err.Error(), "within 1s it could not be found out which Pods are left on m1: listing the Pods on m1: no leader. The node stays cordoned") {
			t.Errorf("it says %v", err)
		}
	})
}

// An API that is away for a moment is waited for.
func TestDrainWhileTheAPIComesAndGoes(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(readyNode)
	a.Put(podOf("a", "ReplicaSet", "", ""))
	var said []string
	env.Progress = func(m string) {
		said = append(said, m)
		a.SetFailure(nil)
	}
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if !strings.HasSuffix(r.URL.Path, "/pods") {
			return nil
		}
		return &kubefake.Failure{Code: 500, Reason: metav1.StatusReasonInternalError, Message: "no leader"}
	})
	d := resource.Drain{API: api, Node: "m1"}
	if err := d.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, d, env)
	if len(said) == 0 || said[0] != "listing the Pods on m1: no leader" {
		t.Errorf("it said %q", said)
	}
}

// Whoever interrupts a run does not want to wait for budgets.
func TestDrainThatIsInterrupted(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(readyNode)
	a.Put(podOf("web-1", "ReplicaSet", ", labels: {app: web}", ""))
	a.Put(webBudget)
	interrupted := make(chan struct{})
	env.Interrupted = interrupted
	env.Progress = func(string) { close(interrupted) }
	err := resource.Drain{API: api, Node: "m1"}.Apply(t.Context(), env)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "default/web-1: the PodDisruptionBudget default/web") {
		t.Errorf("it says %v", err)
	}
}

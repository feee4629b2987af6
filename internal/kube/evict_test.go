package kube_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/kube/fake"
)

func pod(name, uid string) *unstructured.Unstructured {
	p := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod"}}
	p.SetNamespace("a")
	p.SetName(name)
	p.SetUID(types.UID(uid))
	return p
}

const (
	aPod    = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: p, uid: u1, labels: {app: x}}, spec: {nodeName: m1}, status: {phase: Running}}"
	aBudget = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {namespace: a, name: NAME}, spec: {selector: {matchLabels: {app: x}}}, status: {disruptionsAllowed: ALLOWED, desiredHealthy: 2, currentHealthy: 2}}"
)

func budget(name, allowed string) string {
	return strings.NewReplacer("NAME", name, "ALLOWED", allowed).Replace(aBudget)
}

func TestEvict(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []string
		pod     *unstructured.Unstructured
		gone    bool
		cause   string
		err     string
	}{
		{"no budget", []string{aPod}, pod("p", "u1"), true, "", ""},
		{"a budget with room", []string{aPod, budget("b", "1")}, pod("p", "u1"), true, "", ""},
		{"a budget without", []string{aPod, budget("b", "0")}, pod("p", "u1"), false, "The disruption budget b needs 2 healthy pods and has 2 currently", "would violate"},
		{"two budgets", []string{aPod, budget("b", "1"), budget("c", "1")}, pod("p", "u1"), false, "", "more than one PodDisruptionBudget"},
		{"one that does not run", []string{strings.Replace(aPod, "Running", "Pending", 1), budget("b", "0")}, pod("p", "u1"), true, "", ""},
		{"none", nil, pod("p", "u1"), true, "", ""},
		{"another of its name", []string{aPod}, pod("p", "u0"), false, "", ""},
		{"one that may take its time", []string{strings.Replace(aPod, "nodeName: m1", "terminationGracePeriodSeconds: 30", 1)}, pod("p", "u1"), false, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := start(t)
			for _, o := range c.objects {
				a.Put(o)
			}
			err := open(t, a).Evict(t.Context(), c.pod)
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) || kube.BudgetCause(err) != c.cause {
				t.Errorf("%v, because of %q", err, kube.BudgetCause(err))
			}
			if gone := a.Object(kube.RefOf(c.pod)) == nil; gone != c.gone {
				t.Errorf("it is gone: %t", gone)
			}
			if r := a.Requests(); !slices.Equal(r, []string{"POST /api/v1/namespaces/a/pods/p/eviction?timeout=15s"}) {
				t.Errorf("the server was asked %q", r)
			}
		})
	}
	a := start(t)
	a.Put(aPod)
	a.SetFailure(func(*http.Request) *fake.Failure {
		return &fake.Failure{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "a webhook says no"}
	})
	if err := open(t, a).Evict(t.Context(), pod("p", "u1")); err == nil || kube.BudgetCause(err) != "" {
		t.Errorf("what is forbidden: %v", err)
	}
}

// What cannot be now is said at once, whenever the API wants to be asked again.
func TestEvictDoesNotWait(t *testing.T) {
	a := start(t)
	a.Put(aPod)
	a.SetFailure(func(*http.Request) *fake.Failure {
		return &fake.Failure{Code: 429, Reason: metav1.StatusReasonTooManyRequests, Message: "later", Details: &metav1.StatusDetails{RetryAfterSeconds: 1}}
	})
	if err := open(t, a).Evict(t.Context(), pod("p", "u1")); err == nil || !strings.Contains(err.Error(), "later") {
		t.Errorf("it says %v", err)
	}
	if r := a.Requests(); len(r) != 1 {
		t.Errorf("the server was asked %q", r)
	}
}

func TestDeleteNow(t *testing.T) {
	for name, c := range map[string]struct {
		object string
		gone   bool
	}{
		"as it was read": {aPod, true}, "one that may take its time": {strings.Replace(aPod, "nodeName: m1", "terminationGracePeriodSeconds: 30", 1), true},
		"one that something holds": {strings.Replace(aPod, "uid: u1", "uid: u1, finalizers: [a.b/c]", 1), false}, "another of its name": {strings.Replace(aPod, "u1", "u2", 1), false},
	} {
		a := start(t)
		a.Put(c.object)
		client := open(t, a)
		for range 2 {
			if err := client.DeleteNow(t.Context(), pod("p", "u1")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if gone := a.Object(kube.RefOf(pod("p", ""))) == nil; gone != c.gone {
			t.Errorf("%s: it is gone: %t", name, gone)
		}
	}
}

func TestListOn(t *testing.T) {
	a := start(t)
	a.Put(aPod)
	a.Put(strings.NewReplacer("name: p", "name: q", "m1", "m2").Replace(aPod))
	a.Put(strings.NewReplacer("namespace: a, name: p", "namespace: b, name: r").Replace(aPod))
	list, err := open(t, a).ListOn(t.Context(), "m1")
	var names []string
	for _, p := range list {
		names = append(names, p.GetNamespace()+"/"+p.GetName())
	}
	if err != nil || !slices.Equal(names, []string{"a/p", "b/r"}) {
		t.Errorf("on m1 there are %q, %v", names, err)
	}
}

package resource_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestKubeObject(t *testing.T) {
	a, env, api := withAPI(t)
	k := object(t, api, aConfigMap)
	if id := k.ID().String(); id != "object ConfigMap a/b" {
		t.Errorf("it is called %s", id)
	}
	o, err := k.Observe(t.Context(), env)
	if err != nil || o.State != resource.Absent || inWords(k.Diff(o)) != "present: absent → present" {
		t.Fatalf("%v, %v: %s", o, err, inWords(k.Diff(o)))
	}
	if err := k.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, k, env)
	if err := k.Undo(t.Context(), env, o); err != nil || a.Object(kube.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "a", Name: "b"}) == nil {
		t.Errorf("what is the cluster's went: %v", err)
	}
}

func TestObjectChanges(t *testing.T) {
	for _, c := range []struct{ name, live, want, words string }{
		{"equal", aConfigMap, aConfigMap, ""},
		{"what others say", "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b, uid: x, labels: {x: y}}, data: {k: v, other: w}}", aConfigMap, ""},
		{"value", "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {k: w}}", aConfigMap, "data.k: w → v"},
		{"empty value", `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {k: ""}}`, aConfigMap, `data.k: "" → v`},
		{"new value", "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}}", aConfigMap, "data.k: none → v"},
		{"text", `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {Corefile: "a\nb\nc\n"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {Corefile: "a\nB\nc\n"}}`,
			"data.Corefile\n  @@ line 1 @@\n   a\n  -b\n  +B\n   c"},
		{"numbers and labels", "{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: a, name: b, labels: {kubewright.dev/component: x}}, spec: {replicas: 2}}",
			"{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: a, name: b, labels: {kubewright.dev/component: dns}}, spec: {replicas: 1, paused: false}}",
			"metadata.labels[kubewright.dev/component]: x → dns\nspec.paused: none → false\nspec.replicas: 2 → 1"},
		{"lists by name", "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {containers: [{name: x, image: i:1}, {name: w, image: j:1}]}}",
			"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {containers: [{name: x, image: i:2}, {name: z, image: k:1}]}}",
			"spec.containers[w]: present → absent\n  @@ line 1 @@\n  -image: j:1\n  -name: w\nspec.containers[x].image: i:1 → i:2\nspec.containers[z]: absent → present\n  +image: k:1\n  +name: z"},
		{"lists of texts", "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {containers: [{name: x, args: [--a, --b=1]}]}}",
			"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {containers: [{name: x, args: [--a, --b=2]}]}}",
			"spec.containers[x].args\n  @@ line 1 @@\n   --a\n  ---b=1\n  +--b=2"},
		{"lists by place", "{apiVersion: v1, kind: Service, metadata: {namespace: a, name: b}, spec: {ports: [{port: 1}, {port: 2}]}}",
			"{apiVersion: v1, kind: Service, metadata: {namespace: a, name: b}, spec: {ports: [{port: 1}, {port: 3}]}}", "spec.ports[1].port: 2 → 3"},
		{"longer lists", "{apiVersion: v1, kind: Service, metadata: {namespace: a, name: b}, spec: {ports: [{port: 1}]}}",
			"{apiVersion: v1, kind: Service, metadata: {namespace: a, name: b}, spec: {ports: [{port: 1}, {port: 3}]}}", "spec.ports\n  @@ line 1 @@\n   - port: 1\n  +- port: 3"},
		{"order", "{apiVersion: v1, kind: Service, metadata: {namespace: a, name: b}, spec: {ports: [{name: x}, {name: w}]}}",
			"{apiVersion: v1, kind: Service, metadata: {namespace: a, name: b}, spec: {ports: [{name: w}, {name: x}]}}",
			"spec.ports\n  @@ line 1 @@\n  -- name: x\n  +- name: w\n  -- name: w\n  +- name: x"},
		{"secret", "{apiVersion: v1, kind: Secret, metadata: {namespace: a, name: b}, data: {same: dGln, x: dGlnZXI=}}",
			"{apiVersion: v1, kind: Secret, metadata: {namespace: a, name: b}, data: {same: dGln, x: Y2F0, w: dGlnZXI=}}",
			"data.w: none → (not shown)\ndata.x: (not shown) → (another, not shown)"},
		{"what looks like a secret", "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {containers: [{name: x, env: [{name: DB_PASSWORD, value: tiger}]}]}}",
			"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {containers: [{name: x, env: [{name: DB_PASSWORD, value: tiger2}, {name: TOKEN, value: tiger3}]}]}}",
			"spec.containers[x].env[DB_PASSWORD].value: (not shown) → (another, not shown)\nspec.containers[x].env[TOKEN]: absent → present\n  +name: TOKEN\n  +value: (not shown)"},
		{"key", `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {x: "-----BEGIN EC PRIVATE KEY-----\ntiger\n"}}`,
			"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {x: z}}", "data.x: (not shown) → z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			a.Put(c.live)
			k := object(t, api, c.want)
			o, err := k.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			if got := inWords(k.Diff(o)); got != c.words {
				t.Errorf("it says\n%s\nwant\n%s", got, c.words)
			}
			for name, v := range o.Values {
				if strings.Contains(v, "tiger") || strings.Contains(v, "dGlnZXI=") {
					t.Errorf("%s is %s", name, v)
				}
			}
			if err := k.Apply(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			settled(t, k, env)
		})
	}
}

// Of an object of which much changes, the text is shown.
func TestManyFieldsChange(t *testing.T) {
	a, env, api := withAPI(t)
	var live, want strings.Builder
	for _, letter := range "abcdefghijklmopqrstuvwxz" {
		live.WriteString(string(letter) + ": one, ")
		want.WriteString(string(letter) + ": two, ")
	}
	a.Put("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {" + live.String() + "token: tiger}}")
	k := object(t, api, "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {"+want.String()+"token: lion}}")
	o, err := k.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	words := inWords(k.Diff(o))
	for _, part := range []string{"content\n", "  -  a: one\n", "  +  z: two\n", "data.token: (not shown) → (another, not shown)"} {
		if !strings.Contains(words, part) {
			t.Errorf("it lacks %q:\n%s", part, words)
		}
	}
	if strings.Contains(words, "tiger") || strings.Contains(words, "lion") {
		t.Errorf("it shows a secret:\n%s", words)
	}
}

func TestWhatCannotBeChanged(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(aConfigMap)
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if r.Method != http.MethodPatch {
			return nil
		}
		return &kubefake.Failure{Code: 422, Reason: metav1.StatusReasonInvalid, Message: "spec.selector: field is immutable"}
	})
	o, err := object(t, api, aConfigMap).Observe(t.Context(), env)
	if err != nil || !strings.Contains(o.Blocked, "field is immutable") || !strings.Contains(o.Blocked, "deleted first") {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestObjectThatIsBeingDeleted(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(strings.Replace(aConfigMap, "name: b", `name: b, deletionTimestamp: "2026-01-01T00:00:00Z"`, 1))
	k := object(t, api, aConfigMap)
	o, err := k.Observe(t.Context(), env)
	if got := inWords(k.Diff(o)); err != nil || got != "present: being deleted → present" {
		t.Errorf("%v says %s", err, got)
	}
	err = k.Apply(t.Context(), env)
	if _, ok := errors.AsType[resource.TransientError](err); !ok || !strings.Contains(err.Error(), "ConfigMap a/b is being deleted") {
		t.Errorf("it cannot be applied: %v", err)
	}
}

func TestKubeObjects(t *testing.T) {
	a, env, api := withAPI(t)
	const labels = "labels: {kubewright.dev/component: dns, app.kubernetes.io/managed-by: kubewright}"
	for _, o := range []string{
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: keep, " + labels + "}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: old, " + labels + "}}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: old, " + labels + "}}",
		"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: made, " + labels + "}}",
		"{apiVersion: v1, kind: Secret, metadata: {namespace: a, name: owned, ownerReferences: [{controller: true, kind: X, name: x, uid: u, apiVersion: v1}], " + labels + "}}",
		"{apiVersion: v1, kind: Secret, metadata: {namespace: a, name: going, deletionTimestamp: \"2026-01-01T00:00:00Z\", " + labels + "}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: theirs, labels: {kubewright.dev/component: dns}}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: other, labels: {kubewright.dev/component: x, app.kubernetes.io/managed-by: kubewright}}}",
	} {
		a.Put(o)
	}
	k := resource.KubeObjects{API: api, Component: "dns", Keep: []string{"ConfigMap a/keep"}}
	o, err := k.Observe(t.Context(), env)
	want := "ClusterRole old: present → absent (nothing asks for it any more)\nConfigMap a/old: present → absent (nothing asks for it any more)"
	if got := inWords(k.Diff(o)); err != nil || got != want {
		t.Fatalf("it says\n%s, %v\nwant\n%s", got, err, want)
	}
	if err := k.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, k, env)
	if a.Object(kube.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "a", Name: "old"}) != nil || a.Object(kube.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "a", Name: "theirs"}) == nil {
		t.Error("the wrong ones went")
	}
}

package resource_test

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

var m1 = kube.Ref{APIVersion: "v1", Kind: "Node", Name: "m1"}

func TestNode(t *testing.T) {
	a, env, api := withAPI(t)
	control := resource.NodeTaint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}
	n := resource.Node{API: api, Name: "m1", Labels: map[string]string{"node-role.kubernetes.io/control-plane": "", "zone": "a"}, Taints: []resource.NodeTaint{control}}
	o, err := n.Observe(t.Context(), env)
	want := "registered: no → yes\nlabel node-role.kubernetes.io/control-plane: absent → present\nlabel zone: absent → a\ntaint node-role.kubernetes.io/control-plane:NoSchedule: absent → present"
	if got := inWords(n.Diff(o)); err != nil || got != want {
		t.Fatalf("%v says\n%s\nwant\n%s", err, got, want)
	}
	a.Put(`{apiVersion: v1, kind: Node, metadata: {name: m1, labels: {theirs: x, zone: b}},
		spec: {podCIDR: 10.0.0.0/24, taints: [{key: node.kubernetes.io/not-ready, effect: NoExecute, timeAdded: "2026-01-01T00:00:00Z"}, {key: theirs, value: x, effect: NoSchedule}]}}`)
	if o, err = n.Observe(t.Context(), env); err != nil || !strings.Contains(inWords(n.Diff(o)), "label zone: b → a") || strings.Contains(inWords(n.Diff(o)), "registered") {
		t.Fatalf("%v says\n%s", err, inWords(n.Diff(o)))
	}
	// A controller is faster once.
	faster := true
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if r.Method == http.MethodPatch && faster {
			faster = false
			return &kubefake.Failure{Code: 409, Reason: metav1.StatusReasonConflict, Message: "changed"}
		}
		return nil
	})
	if err := n.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, n, env)
	check := func(labels string, taints ...string) {
		t.Helper()
		live := a.Object(m1)
		var got []string
		for _, k := range []string{"node-role.kubernetes.io/control-plane", "theirs", "zone", "rack"} {
			if v, ok := live.GetLabels()[k]; ok {
				got = append(got, k+"="+v)
			}
		}
		if strings.Join(got, " ") != labels {
			t.Errorf("it has the labels %q", got)
		}
		got = nil
		list, _, _ := unstructured.NestedSlice(live.Object, "spec", "taints")
		for _, item := range list {
			m := item.(map[string]any)
			s := m["key"].(string) + ":" + m["effect"].(string)
			if m["timeAdded"] != nil {
				s += " since"
			}
			got = append(got, s)
		}
		if strings.Join(got, ", ") != strings.Join(taints, ", ") {
			t.Errorf("it has the taints %q", got)
		}
		if cidr, _, _ := unstructured.NestedString(live.Object, "spec", "podCIDR"); cidr == "" {
			t.Error("its range went")
		}
	}
	check("node-role.kubernetes.io/control-plane= theirs=x zone=a", "node.kubernetes.io/not-ready:NoExecute since", "theirs:NoSchedule", "node-role.kubernetes.io/control-plane:NoSchedule")
	// What is no longer wanted goes; what is others' stays.
	n.Labels, n.Taints = map[string]string{"rack": "1"}, nil
	o, err = n.Observe(t.Context(), env)
	want = "label node-role.kubernetes.io/control-plane: present → absent\nlabel rack: absent → 1\nlabel zone: a → absent\ntaint node-role.kubernetes.io/control-plane:NoSchedule: present → absent"
	if got := inWords(n.Diff(o)); err != nil || got != want {
		t.Errorf("%v says\n%s\nwant\n%s", err, got, want)
	}
	if err := n.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, n, env)
	check("theirs=x rack=1", "node.kubernetes.io/not-ready:NoExecute since", "theirs:NoSchedule")
	n.Labels = nil
	if err := n.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, n, env)
	if got := a.Object(m1).GetAnnotations(); len(got) > 0 {
		t.Errorf("of nothing that was set, it is remembered %v", got)
	}
}

// What a kubelet set as the cluster file says has to go with the cluster file's.
func TestNodeThatIsAsItShallBe(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put("{apiVersion: v1, kind: Node, metadata: {name: m1, labels: {a: b}}, spec: {taints: [{key: c, effect: NoSchedule}]}}")
	n := resource.Node{API: api, Name: "m1", Labels: map[string]string{"a": "b"}, Taints: []resource.NodeTaint{{Key: "c", Effect: "NoSchedule"}}}
	o, err := n.Observe(t.Context(), env)
	if got := inWords(n.Diff(o)); err != nil || got != "annotation kubewright.dev/labels: none → a\nannotation kubewright.dev/taints: none → c:NoSchedule" {
		t.Errorf("%v says\n%s", err, got)
	}
	if err := n.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, n, env)
}

func TestNodeIsWaitedFor(t *testing.T) {
	a, env, api := withAPI(t)
	var said []string
	env.Progress = func(m string) {
		said = append(said, m)
		a.Put(aNode)
	}
	if err := (resource.Node{API: api, Name: "m1", Labels: map[string]string{"a": "b"}}).Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || said[0] != "the kubelet of m1 has not registered its node yet" || a.Object(m1).GetLabels()["a"] != "b" {
		t.Errorf("it said %q; the node is %v", said, a.Object(m1))
	}
	a.SetFailure(func(*http.Request) *kubefake.Failure {
		return &kubefake.Failure{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "nodes is forbidden"}
	})
	if err := (resource.Node{API: api, Name: "m1"}).Apply(t.Context(), env); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("what is forbidden: %v", err)
	}
}

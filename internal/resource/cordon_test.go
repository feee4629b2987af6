package resource_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/resource"
)

// How a node may be cordoned: by nobody, by people, or for it to leave.
var (
	free     = aNode
	cordoned = strings.Replace(aNode, "}}", "}, spec: {unschedulable: true}}", 1)
	toLeave  = strings.Replace(cordoned, "name: m1", "name: m1, annotations: {theirs: x, kubewright.dev/leaving: cordoned}", 1)
	left     = strings.Replace(aNode, "name: m1", "name: m1, annotations: {theirs: x, kubewright.dev/leaving: cordoned}", 1) // somebody uncordoned it
)

func TestCordon(t *testing.T) {
	for _, c := range []struct {
		name, node string
		cordoned   bool
		words      string
	}{
		{"cordon", free, true, "cordoned: no → yes"},
		{"uncordon", cordoned, false, "cordoned: yes → no"},
		{"cordoned already", cordoned, true, ""},
		{"not cordoned", free, false, ""},
		{"cordon what leaves", toLeave, true, "annotation kubewright.dev/leaving: present → absent"},
		{"uncordon what leaves", toLeave, false, "cordoned: yes → no\nannotation kubewright.dev/leaving: present → absent"},
		{"no node", "", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			if c.node != "" {
				a.Put(c.node)
			}
			r := resource.Cordon{API: api, Node: "m1", Cordoned: c.cordoned}
			o, err := r.Observe(t.Context(), env)
			if got := inWords(r.Diff(o)); err != nil || got != c.words {
				t.Errorf("%v says\n%s\nwant\n%s", err, got, c.words)
			}
			if err := r.Apply(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			settled(t, r, env)
		})
	}
}

// A node that stays is uncordoned if it was to leave, and never if people cordoned it.
func TestNodeThatStays(t *testing.T) {
	for _, c := range []struct {
		name, node, words string
		cordoned          bool
	}{
		{"free", free, "", false},
		{"people's", cordoned, "", true},
		{"was to leave", toLeave, "cordoned: yes → no (it was to leave, and stays)", false},
		{"was to leave, and was uncordoned", left, "annotation kubewright.dev/leaving: present → absent", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			a.Put(c.node)
			n := resource.Node{API: api, Name: "m1"}
			o, err := n.Observe(t.Context(), env)
			if got := inWords(n.Diff(o)); err != nil || got != c.words {
				t.Errorf("%v says\n%s\nwant\n%s", err, got, c.words)
			}
			n.Labels = map[string]string{"a": "b"} // for there to be something to apply
			if err := n.Apply(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			settled(t, n, env)
			live := a.Object(m1)
			if is, _, _ := unstructured.NestedBool(live.Object, "spec", "unschedulable"); is != c.cordoned || live.GetAnnotations()[resource.LeavingAnnotation] != "" {
				t.Errorf("it is cordoned: %t, %v", is, live.GetAnnotations())
			}
		})
	}
}

package resource_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

const (
	attachment = "{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: a1}, spec: {nodeName: m1}}"
	lease      = `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {namespace: kube-node-lease, name: m1}, spec: {leaseDurationSeconds: 2, renewTime: "NOW"}}`
)

// deletions are the paths of what was deleted, in their order, each once.
func deletions(a *kubefake.API) []string {
	var paths []string
	for _, r := range a.Requests() {
		if path, ok := strings.CutPrefix(r, "DELETE "); ok {
			path, _, _ = strings.Cut(path, "?")
			if path = path[strings.LastIndex(path, "/")+1:]; !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

func TestNodeAbsent(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []string
		words   string
		ready   string
		deleted []string
	}{
		{"nothing", nil, "", "", nil},
		{"a node", []string{readyNode}, "registered: yes → no", "yes", []string{"m1"}},
		{"a node, Pods and volumes", []string{silentNode, podOf("ds", "DaemonSet", "", ""), podOf("web", "StatefulSet", "", ", terminationGracePeriodSeconds: 30"), attachment},
			"registered: yes → no", "no", []string{"m1", "ds", "web", "a1"}},
		{"what is left of one", []string{podOf("going", "StatefulSet", ", deletionTimestamp: \"2026-01-01T00:00:00Z\", deletionGracePeriodSeconds: 30", ", terminationGracePeriodSeconds: 30"), attachment},
			"pods of a node that is gone: 1 → none\nvolumes of a node that is gone: 1 → none", "", []string{"going", "a1"}},
		{"what others hold", []string{silentNode, podOf("held", "StatefulSet", ", finalizers: [a.b/c]", ""), strings.Replace(attachment, "name: a1", "name: a1, finalizers: [a.b/driver]", 1)},
			"registered: yes → no", "no", []string{"m1", "held", "a1"}},
		{"others'", []string{strings.Replace(podOf("p", "StatefulSet", "", ""), "m1", "m2", 1), strings.Replace(attachment, "m1", "m2", 1)}, "", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			for _, o := range c.objects {
				a.Put(o)
			}
			n := resource.NodeAbsent{API: api, Name: "m1"}
			o, err := n.Observe(t.Context(), env)
			if got := inWords(n.Diff(o)); err != nil || got != c.words || o.Value("ready") != c.ready || (o.State == resource.Absent) != (c.words == "") {
				t.Errorf("%v says\n%s\nwant\n%s\nof %v", err, got, c.words, o)
			}
			a.Requests()
			if err := n.Apply(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			if got := deletions(a); !slices.Equal(got, c.deleted) {
				t.Errorf("it deletes %q, not %q", got, c.deleted)
			}
			settled(t, n, env)
		})
	}
}

// A Pod of the same name that runs elsewhere by then is another.
func TestNodeAbsentSparesOthers(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(podOf("web-0", "StatefulSet", "", ""))
	env.Progress = func(string) {
		a.Put(strings.NewReplacer("m1", "m2", "uid: web-0", "uid: other").Replace(podOf("web-0", "StatefulSet", "", "")))
		a.SetFailure(nil)
	}
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if r.Method == http.MethodDelete {
			return &kubefake.Failure{Code: 409, Reason: metav1.StatusReasonConflict, Message: "the UID in the precondition does not match"}
		}
		return nil
	})
	n := resource.NodeAbsent{API: api, Name: "m1"}
	if err := n.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if p := a.Object(podRef("web-0")); p == nil || p.GetUID() != "other" {
		t.Errorf("of its name there is %v", p)
	}
}

// Nothing may run twice: as long as a kubelet runs, what it runs is not made anew elsewhere.
func TestNodeAbsentWhoseKubeletRuns(t *testing.T) {
	for _, c := range []struct {
		name, node, pod string
		renews, fails   bool
	}{
		{"it runs", readyNode, podOf("web-0", "StatefulSet", "", ""), true, true},
		{"it ran a moment ago", readyNode, podOf("web-0", "StatefulSet", "", ""), false, false},
		{"it runs nothing that counts", readyNode, podOf("d", "DaemonSet", "", ""), true, false},
		{"it is silent", silentNode, podOf("web-0", "StatefulSet", "", ""), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			a.Put(c.node)
			a.Put(c.pod)
			a.Put(lease)
			looked := false
			env.Progress = func(m string) {
				if looked = looked || strings.Contains(m, "looking whether it runs still"); looked && c.renews {
					a.Put(strings.Replace(lease, "NOW", "LATER", 1))
				}
			}
			err := resource.NodeAbsent{API: api, Name: "m1"}.Apply(t.Context(), env)
			if (err != nil) != c.fails || c.fails && !strings.Contains(err.Error(), "the kubelet of m1 runs, and with it 1 Pod that would be made anew elsewhere, such as default/web-0: they would run twice. Drain the node") {
				t.Errorf("%v", err)
			}
			if there := a.Object(m1) != nil; there != c.fails {
				t.Errorf("the node is there: %t", there)
			}
		})
	}
}

// What holds the node is named.
func TestNodeThatIsHeld(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(strings.Replace(silentNode, "name: m1", "name: m1, finalizers: [a.b/c]", 1))
	var said []string
	env.Progress = func(m string) {
		if said = append(said, m); strings.Contains(m, "finalizer") {
			a.Remove(m1)
		}
	}
	n := resource.NodeAbsent{API: api, Name: "m1"}
	if err := n.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if last := said[len(said)-1]; !strings.HasPrefix(last, "the node m1 is deleted, but kept by the finalizer a.b/c") {
		t.Errorf("it said %q", said)
	}
	settled(t, n, env)
}

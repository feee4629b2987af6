package resource_test

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestNodeReady(t *testing.T) {
	a, env, api := withAPI(t)
	p := resource.NodeReady{API: api, Name: "m1"}
	for _, c := range []struct{ node, why string }{
		{"", "the kubelet of m1 has not registered its node"},
		{aNode, "the node m1 is not ready: its kubelet has said nothing yet"},
		{"{apiVersion: v1, kind: Node, metadata: {name: m1}, status: {conditions: [{type: X, status: \"True\"}, {type: Ready, status: \"False\", reason: KubeletNotReady, message: no network}]}}",
			"the node m1 is not ready: KubeletNotReady: no network"},
		{"{apiVersion: v1, kind: Node, metadata: {name: m1}, status: {conditions: [{type: Ready, status: \"True\", reason: KubeletReady}]}}", ""},
	} {
		if c.node != "" {
			a.Put(c.node)
		}
		if why, err := p.Check(t.Context(), env); err != nil || why != c.why {
			t.Errorf("%s: %q, %v", c.node, why, err)
		}
	}
	a.SetFailure(func(*http.Request) *kubefake.Failure {
		return &kubefake.Failure{Code: 503, Reason: metav1.StatusReasonServiceUnavailable, Message: "no leader"}
	})
	if why, err := p.Check(t.Context(), env); err != nil || !strings.Contains(why, "no leader") {
		t.Errorf("it says %q, %v", why, err)
	}
	a.Close()
	if why, err := p.Check(t.Context(), env); err != nil || !strings.Contains(why, "no API server is ready") {
		t.Errorf("it says %q, %v", why, err)
	}
	if err := env.Files.Remove("/etc/kubernetes/admin.conf"); err != nil {
		t.Fatal(err)
	}
	if why, err := p.Check(t.Context(), env); err != nil || !strings.Contains(why, "admin.conf") {
		t.Errorf("without credentials it says %q, %v", why, err)
	}
}

func TestRollout(t *testing.T) {
	const (
		deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: a, name: b, generation: 2}, spec: {replicas: 2, selector: {matchLabels: {app: b}}}, status: "
		daemonSet  = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {namespace: a, name: b, generation: 2}, spec: {selector: {matchLabels: {app: b}}}, status: "
		pod        = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: p1, labels: {app: b}}, spec: {nodeName: m1}, status: "
		other      = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: p0, labels: {app: c}}, status: {phase: Failed, reason: Theirs}}"
		silent     = aNode
		lost       = `{apiVersion: v1, kind: Node, metadata: {name: m2}, status: {conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown}]}}`
		there      = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: p1, labels: {app: b}}, spec: {nodeName: m1}}"
		gone       = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: p2, labels: {app: b}}, spec: {nodeName: m2}}"
	)
	for _, c := range []struct {
		name, kind string
		objects    []string
		why        string
	}{
		{"nothing", "Deployment", nil, "there is no Deployment a/b"},
		{"not seen", "Deployment", []string{deployment + "{observedGeneration: 1, updatedReplicas: 2, availableReplicas: 2, replicas: 2}}"}, "Deployment a/b: its controller has not seen the last change yet"},
		{"done", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, availableReplicas: 2, replicas: 2}}"}, ""},
		{"not updated", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 1, availableReplicas: 2, replicas: 3}}", other}, "Deployment a/b: 1 of 2 Pods are as they were applied last"},
		{"old ones", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, availableReplicas: 2, replicas: 3}}"}, "Deployment a/b: 1 Pods as they were before are still there"},
		{"no image", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2, availableReplicas: 1}}",
			pod + `{containerStatuses: [{name: x, state: {waiting: {reason: ImagePullBackOff, message: "no such image"}}}]}}`},
			"Deployment a/b: 1 of 2 Pods are available; Pod p1 on m1: x: ImagePullBackOff: no such image"},
		{"crash", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2, availableReplicas: 1}}",
			pod + `{containerStatuses: [{name: x, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2, message: "a\nno such flag\n"}}}]}}`},
			"Deployment a/b: 1 of 2 Pods are available; Pod p1 on m1: x: CrashLoopBackOff; it ended with code 2: no such flag"},
		{"no room", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2}}",
			`{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: p1, labels: {app: b}}, status: {conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: 0/3 nodes}]}}`},
			"Deployment a/b: 0 of 2 Pods are available; Pod p1: Unschedulable: 0/3 nodes"},
		{"on its way", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2}}",
			pod + "{containerStatuses: [{name: x, state: {waiting: {reason: ContainerCreating}}}]}}"},
			"Deployment a/b: 0 of 2 Pods are available; Pod p1 on m1: x: ContainerCreating"},
		{"not ready", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2}}",
			pod + `{conditions: [{type: Ready, status: "False", reason: ContainersNotReady, message: x is not}], containerStatuses: [{name: x, state: {running: {}}}]}}`},
			"Deployment a/b: 0 of 2 Pods are available; Pod p1 on m1: ContainersNotReady: x is not"},
		{"everywhere", "DaemonSet", []string{daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3}}"}, ""},
		{"not there", "DaemonSet", []string{daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2}}"}, "DaemonSet a/b: 2 of 3 Pods are available"},
		{"not where nodes are not ready", "DaemonSet", []string{daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2}}", silent}, ""},
		{"nor elsewhere", "DaemonSet", []string{daemonSet + "{observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 1}}", silent}, "DaemonSet a/b: 1 of 3 Pods are available"},
		{"not on a node that nobody hears of", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2, availableReplicas: 1}}", lost, there, gone}, ""},
		{"one has to be available", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2}}", lost, there, gone},
			"Deployment a/b: 0 of 2 Pods are available; Pod p1 on m1: its kubelet has said nothing yet"},
		{"all on one that nobody hears of", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2}}", lost, gone},
			"Deployment a/b: 0 of 2 Pods are available; Pod p2 on m2: its kubelet has said nothing yet"},
		{"missing elsewhere", "Deployment", []string{deployment + "{observedGeneration: 2, updatedReplicas: 2, replicas: 2, availableReplicas: 1}}", lost, there},
			"Deployment a/b: 1 of 2 Pods are available; Pod p1 on m1: its kubelet has said nothing yet"},
		{"one by default", "StatefulSet", []string{"{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: a, name: b}, status: {updatedReplicas: 1}}"}, "StatefulSet a/b: 0 of 1 Pods are available"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			for _, o := range c.objects {
				a.Put(o)
			}
			why, err := resource.Rollout{API: api, Kind: c.kind, Namespace: "a", Name: "b"}.Check(t.Context(), env)
			if err != nil || why != c.why {
				t.Errorf("it says %q, %v; want %q", why, err, c.why)
			}
		})
	}
	_, env, api := withAPI(t)
	if why, err := (resource.Rollout{API: api, Kind: "Job", Namespace: "a", Name: "b"}).Check(t.Context(), env); err == nil {
		t.Errorf("of what is not rolled out it says %q", why)
	}
}

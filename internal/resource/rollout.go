package resource

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/internal/kube"
)

// Rollout asks whether a Deployment, DaemonSet or StatefulSet runs as it was applied last. At most so many Pods of a DaemonSet may be missing as there are nodes that are not ready; of others, those
// may be that are on nodes nobody hears of, if one is available: Kubernetes itself takes them to be lost after 5 minutes only, and who applies while a host is dead need not wait for that.
type Rollout struct {
	API       API    `json:"api"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// ID names what is rolled out: "DaemonSet kube-system/kube-proxy".
func (p Rollout) ID() ID { return ID{"rollout", p.ref().String()} }

func (p Rollout) ref() kube.Ref {
	return kube.Ref{APIVersion: "apps/v1", Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
}

// Check reads it. What is not well is how many Pods lack, and what keeps one of them.
func (p Rollout) Check(ctx context.Context, env *Env) (string, error) {
	if _, err := kube.KindOf("apps/v1", p.Kind); err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := p.API.open(limited, env)
	if err != nil {
		return unanswered(ctx, err)
	}
	u, err := c.Get(limited, p.ref())
	if kube.IsNotFound(err) {
		return fmt.Sprintf("there is no %s", p.ref()), nil
	}
	if err != nil {
		return unanswered(ctx, err)
	}
	why := rolledOut(u, 0)
	if why == "" {
		return "", nil
	}
	nodes, err := c.List(limited, nodeRef(""), "")
	if err != nil {
		return unanswered(ctx, err)
	}
	// What keeps a Pod helps to understand; without it, the numbers have to do.
	pods, err := podsOf(limited, c, u)
	if err == nil || p.Kind == "DaemonSet" {
		if missing := excused(p.Kind, nodes, pods); missing > 0 && rolledOut(u, missing) == "" {
			return "", nil
		}
	}
	why = fmt.Sprintf("%s: %s", p.ref(), why)
	if trouble := podTrouble(pods); trouble != "" {
		why += "; " + trouble
	}
	return why, nil
}

// excused is how many Pods may be missing for what their nodes are.
func excused(kind string, nodes, pods []unstructured.Unstructured) int64 {
	n := int64(0)
	if kind == "DaemonSet" {
		for _, node := range nodes {
			if ok, _ := nodeReady(&node); !ok {
				n++
			}
		}
		return n
	}
	silent := map[string]bool{}
	for _, node := range nodes {
		status, _, _ := condition(&node, "Ready")
		silent[node.GetName()] = status == "Unknown"
	}
	for _, pod := range pods {
		if on, _, _ := unstructured.NestedString(pod.Object, "spec", "nodeName"); silent[on] && pod.GetDeletionTimestamp() == nil {
			n++
		}
	}
	return min(n, int64(len(pods))-1)
}

// rolledOut says what lacks until what was applied last runs everywhere, as kubectl rollout status does (k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go). So many
// Pods may be missing.
func rolledOut(u *unstructured.Unstructured, missing int64) string {
	number := func(fields ...string) int64 {
		n, _, _ := unstructured.NestedInt64(u.Object, fields...)
		return n
	}
	if number("status", "observedGeneration") < u.GetGeneration() {
		return "its controller has not seen the last change yet"
	}
	want := int64(1)
	if n, ok, _ := unstructured.NestedInt64(u.Object, "spec", "replicas"); ok {
		want = n
	}
	updated, available := number("status", "updatedReplicas"), number("status", "availableReplicas")
	if u.GetKind() == "DaemonSet" {
		want, updated, available = number("status", "desiredNumberScheduled"), number("status", "updatedNumberScheduled"), number("status", "numberAvailable")
	}
	switch {
	case updated < want-missing:
		return fmt.Sprintf("%d of %d Pods are as they were applied last", updated, want)
	case u.GetKind() == "Deployment" && number("status", "replicas") > updated:
		return fmt.Sprintf("%d Pods as they were before are still there", number("status", "replicas")-updated)
	case available < want-missing:
		return fmt.Sprintf("%d of %d Pods are available", available, want)
	}
	return ""
}

// podsOf are the Pods of what is rolled out.
func podsOf(ctx context.Context, c *kube.Client, u *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	m, _, err := unstructured.NestedMap(u.Object, "spec", "selector")
	if err != nil {
		return nil, err
	}
	var s metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &s); err != nil {
		return nil, err
	}
	selector, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return nil, err
	}
	return c.List(ctx, kube.Ref{APIVersion: "v1", Kind: "Pod", Namespace: u.GetNamespace()}, selector.String())
}

package resource

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/internal/kube"
)

// budget is a PodDisruptionBudget as its controller said last.
type budget struct {
	namespace, name string
	pods            labels.Selector
	// allowed is how many of its Pods may go now: so many are healthy, and so many have to be.
	allowed, healthy, needed int64
	// failed is why its controller cannot tell; the numbers say nothing then.
	failed string
	// unready says that Pods that are not ready may always go.
	unready bool
}

// ID is namespace and name: "default/web".
func (b budget) id() string { return b.namespace + "/" + b.name }

// says is how it is: "needs 2 healthy Pods and has 2".
func (b budget) says() string {
	if b.failed != "" {
		return "cannot be kept account of: " + b.failed
	}
	return fmt.Sprintf("needs %d healthy Pods and has %d", b.needed, b.healthy)
}

// allBudgets reads those of all namespaces.
func allBudgets(ctx context.Context, c *kube.Client) ([]budget, error) {
	list, err := c.List(ctx, kube.Ref{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}, "")
	if err != nil {
		return nil, passing(fmt.Errorf("reading PodDisruptionBudgets: %w", err))
	}
	var budgets []budget
	for _, u := range list {
		budgets = append(budgets, budgetOf(&u))
	}
	return budgets, nil
}

func budgetOf(u *unstructured.Unstructured) budget {
	b := budget{namespace: u.GetNamespace(), name: u.GetName(), pods: labels.Nothing()}
	// One without a selector is of no Pods, one with an empty selector of all in its namespace.
	if m, there, _ := unstructured.NestedMap(u.Object, "spec", "selector"); there {
		var s metav1.LabelSelector
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &s); err == nil {
			if pods, err := metav1.LabelSelectorAsSelector(&s); err == nil {
				b.pods = pods
			}
		}
	}
	b.allowed, _, _ = unstructured.NestedInt64(u.Object, "status", "disruptionsAllowed")
	b.healthy, _, _ = unstructured.NestedInt64(u.Object, "status", "currentHealthy")
	b.needed, _, _ = unstructured.NestedInt64(u.Object, "status", "desiredHealthy")
	policy, _, _ := unstructured.NestedString(u.Object, "spec", "unhealthyPodEvictionPolicy")
	b.unready = policy == "AlwaysAllow"
	if status, reason, message := condition(u, "DisruptionAllowed"); status == "False" && reason == "SyncFailed" {
		b.failed = message
	}
	return b
}

// keeping are the budgets for which a Pod cannot be evicted now, by the rules of the API (Create of pkg/registry/core/pod/storage/eviction.go of Kubernetes v1.37): one that allows nothing, or
// all if it has several.
func keeping(pod *unstructured.Unstructured, budgets []budget) []budget {
	if phase := phaseOf(pod); phase == "Pending" || ended(pod) || pod.GetDeletionTimestamp() != nil {
		return nil
	}
	var of []budget
	for _, b := range budgets {
		if b.namespace == pod.GetNamespace() && b.pods.Matches(labels.Set(pod.GetLabels())) {
			of = append(of, b)
		}
	}
	if len(of) != 1 {
		return of
	}
	b := of[0]
	ready, _, _ := condition(pod, "Ready")
	if b.allowed > 0 || ready != "True" && (b.unready || b.healthy >= b.needed && b.needed > 0) {
		return nil
	}
	return of
}

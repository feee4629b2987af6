package fake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/internal/kube"
)

// evict deletes a Pod if its PodDisruptionBudget lets it go, which then has one to give less; nobody gives it back but the test. (Create of
// pkg/registry/core/pod/storage/eviction.go of Kubernetes v1.37)
func (a *API) evict(r *http.Request, ref kube.Ref, pod map[string]any) (map[string]any, *Failure) {
	var e policyv1.Eviction
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		return nil, &Failure{Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: err.Error()}
	}
	var options metav1.DeleteOptions
	if e.DeleteOptions != nil {
		options = *e.DeleteOptions
	}
	u := unstructured.Unstructured{Object: pod}
	phase, _, _ := unstructured.NestedString(pod, "status", "phase")
	if phase == "Pending" || phase == "Succeeded" || phase == "Failed" || u.GetDeletionTimestamp() != nil {
		return a.remove(ref, pod, options)
	}
	budgets := a.budgets(u)
	switch {
	case len(budgets) > 1: // by a code that stands for success
		return map[string]any{
			"apiVersion": "v1", "kind": "Status", "metadata": map[string]any{}, "status": "Failure", "code": http.StatusInternalServerError,
			"message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
		}, nil
	case len(budgets) == 1:
		b := budgets[0]
		if b.Status.DisruptionsAllowed == 0 {
			return nil, &Failure{
				Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: "Cannot evict pod as it would violate the pod's disruption budget.",
				Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
					Type:    policyv1.DisruptionBudgetCause,
					Message: fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy),
				}}},
			}
		}
		of := kube.Ref{APIVersion: "policy/v1", Kind: "PodDisruptionBudget", Namespace: b.Namespace, Name: b.Name}
		object := (&unstructured.Unstructured{Object: a.objects[of]}).DeepCopy().Object
		merge(object, map[string]any{"status": map[string]any{"disruptionsAllowed": int64(b.Status.DisruptionsAllowed - 1)}})
		a.keep(of, object)
	}
	if _, failure := a.remove(ref, pod, options); failure != nil {
		return nil, failure
	}
	return map[string]any{"apiVersion": "v1", "kind": "Status", "metadata": map[string]any{}, "status": "Success", "code": http.StatusCreated}, nil
}

// budgets are the PodDisruptionBudgets of a Pod.
func (a *API) budgets(pod unstructured.Unstructured) []policyv1.PodDisruptionBudget {
	var list []policyv1.PodDisruptionBudget
	for r, o := range a.objects {
		if r.Kind != "PodDisruptionBudget" || r.Namespace != pod.GetNamespace() {
			continue
		}
		var b policyv1.PodDisruptionBudget
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, &b); err != nil {
			panic(fmt.Sprintf("an object of a test: %v", err))
		}
		if s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && s.Matches(labels.Set(pod.GetLabels())) {
			list = append(list, b)
		}
	}
	return list
}

// remove deletes an object. One with finalizers, and a Pod that says how long it may take to end, stays and is said to be deleted, until a test takes it away; a Pod is not given that time
// if its deletion asks for none.
func (a *API) remove(ref kube.Ref, there map[string]any, options metav1.DeleteOptions) (map[string]any, *Failure) {
	u := (&unstructured.Unstructured{Object: there}).DeepCopy()
	if p := options.Preconditions; p != nil && p.UID != nil && *p.UID != u.GetUID() {
		return nil, &Failure{Code: http.StatusConflict, Reason: metav1.StatusReasonConflict, Message: "the UID in the precondition does not match"}
	}
	grace, takes, _ := unstructured.NestedInt64(u.Object, "spec", "terminationGracePeriodSeconds")
	if options.GracePeriodSeconds != nil {
		grace, takes = *options.GracePeriodSeconds, *options.GracePeriodSeconds > 0
	}
	if len(u.GetFinalizers()) == 0 && !(ref.Kind == "Pod" && takes) {
		delete(a.objects, ref)
		return there, nil
	}
	if was := u.GetDeletionGracePeriodSeconds(); u.GetDeletionTimestamp() == nil || was != nil && *was > grace {
		at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
		u.SetDeletionTimestamp(&at)
		u.SetDeletionGracePeriodSeconds(&grace)
		a.keep(ref, u.Object)
	}
	return u.Object, nil
}

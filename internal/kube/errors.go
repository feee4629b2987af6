package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UnreachableError says that no API server is ready: what is there cannot be known.
type UnreachableError struct {
	// Reasons are why not, one for each server that was asked, as "10.0.0.11:6443: connect: connection refused".
	Reasons []string
	// Before says that one of them was ready before, while the same Pool was in use.
	Before bool
}

func (e *UnreachableError) Error() string {
	if len(e.Reasons) == 0 {
		return "there is no API server to ask"
	}
	return "no API server is ready: " + strings.Join(e.Reasons, "; ")
}

// status is the code of what an API server answered; 0 if it answered nothing.
func status(err error) int {
	if s, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return int(s.ErrStatus.Code)
	}
	return 0
}

// IsNotFound says that there is no such object, or no namespace or kind for it.
func IsNotFound(err error) bool { return apierrors.IsNotFound(err) }

// IsConflict says that the object changed meanwhile.
func IsConflict(err error) bool { return apierrors.IsConflict(err) }

// IsInvalid says that the API does not take what it was given, ever.
func IsInvalid(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) }

// namespaceTerminating is the cause of refusing objects in a namespace that goes (NamespaceTerminatingCause of k8s.io/api/core/v1).
const namespaceTerminating metav1.CauseType = "NamespaceTerminating"

// disruptionBudget is the cause of refusing to evict a Pod that a PodDisruptionBudget needs (DisruptionBudgetCause of k8s.io/api/policy/v1).
const disruptionBudget metav1.CauseType = "DisruptionBudget"

// BudgetCause is what the API says of the PodDisruptionBudget that keeps a Pod from being evicted now; empty if that is not why something failed.
func BudgetCause(err error) string {
	cause, _ := apierrors.StatusCause(err, disruptionBudget)
	return cause.Message
}

// MayPass says that waiting may help: nobody answers, or who does cannot now, or what has to be there first is not.
func MayPass(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[*UnreachableError](err); ok {
		return true
	}
	code := status(err)
	return code == http.StatusNotFound || code == http.StatusConflict || code == http.StatusTooManyRequests ||
		code >= http.StatusInternalServerError || apierrors.HasStatusCause(err, namespaceTerminating)
}

// QuotesObject says that what the API says may quote the object that it was given: it could not read it, or does not take it.
func QuotesObject(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return true
	}
	return false
}

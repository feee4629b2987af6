package resource

import (
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// RequestsReport looks at requests for certificates that wait to be approved or denied. It finds a list of RequestFound.
type RequestsReport struct {
	API API `json:"api"`
}

// RequestFound is a request that waits.
type RequestFound struct {
	Name string `json:"name"`
	// Signer that is to sign it: "kubernetes.io/kubelet-serving".
	Signer string `json:"signer"`
	// User who asks: "system:node:w1".
	User  string    `json:"user"`
	Since time.Time `json:"since"`
}

// ID is the same everywhere.
func (r RequestsReport) ID() ID { return ID{"certificate-requests", "cluster"} }

// Look reads them, in order of their names.
func (r RequestsReport) Look(ctx context.Context, env *Env) (any, error) {
	c, err := r.API.open(ctx, env)
	if err != nil {
		return nil, err
	}
	list, err := c.List(ctx, kube.Ref{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}, "")
	if err != nil {
		return nil, passing(err)
	}
	found := []RequestFound{}
	for _, u := range list {
		if conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions"); len(conditions) > 0 {
			continue // approved, denied or failed
		}
		f := RequestFound{Name: u.GetName(), Since: u.GetCreationTimestamp().UTC()}
		f.Signer, _, _ = unstructured.NestedString(u.Object, "spec", "signerName")
		f.User, _, _ = unstructured.NestedString(u.Object, "spec", "username")
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b RequestFound) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

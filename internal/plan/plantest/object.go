package plantest

import (
	"bytes"
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/internal/resource"
)

// kinds are those that components make, by version and kind.
var kinds = map[metav1.TypeMeta]func() any{
	{APIVersion: "v1", Kind: "Namespace"}:                                    func() any { return new(corev1.Namespace) },
	{APIVersion: "v1", Kind: "ServiceAccount"}:                               func() any { return new(corev1.ServiceAccount) },
	{APIVersion: "v1", Kind: "ConfigMap"}:                                    func() any { return new(corev1.ConfigMap) },
	{APIVersion: "v1", Kind: "Service"}:                                      func() any { return new(corev1.Service) },
	{APIVersion: "apps/v1", Kind: "DaemonSet"}:                               func() any { return new(appsv1.DaemonSet) },
	{APIVersion: "apps/v1", Kind: "Deployment"}:                              func() any { return new(appsv1.Deployment) },
	{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:                   func() any { return new(policyv1.PodDisruptionBudget) },
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"}:               func() any { return new(rbacv1.Role) },
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"}:        func() any { return new(rbacv1.RoleBinding) },
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}:        func() any { return new(rbacv1.ClusterRole) },
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"}: func() any { return new(rbacv1.ClusterRoleBinding) },
	{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService"}:            func() any { return new(map[string]any) }, // its type is in a module of its own
}

// checkObject says what the API would not understand of an object, or what is the API's own to say.
func checkObject(t *testing.T, o resource.KubeObject) {
	t.Helper()
	var meta metav1.TypeMeta
	if err := json.Unmarshal(o.Object, &meta); err != nil {
		t.Fatal(err)
	}
	make, known := kinds[meta]
	if !known {
		t.Errorf("%s is of a kind that the test does not know: %v", o.ID(), meta)
		return
	}
	d := json.NewDecoder(bytes.NewReader(o.Object))
	d.DisallowUnknownFields()
	if err := d.Decode(make()); err != nil {
		t.Errorf("the API does not understand %s: %v", o.ID(), err)
	}
	var fields map[string]any
	if err := json.Unmarshal(o.Object, &fields); err != nil {
		t.Fatal(err)
	}
	if _, has := fields["status"]; has {
		t.Errorf("%s says a status, which is not what shall be", o.ID())
	}
}

package kube

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is a kind of objects.
type Kind struct {
	APIVersion string // "apps/v1"
	Kind       string // "DaemonSet"
	Plural     string // "daemonsets", as it is in paths
	Namespaced bool
	// Made says that objects of this kind are made by others (kubelets, controllers), and so are no part of what somebody applied.
	Made bool
}

func (k Kind) resource() schema.GroupVersionResource {
	return schema.FromAPIVersionAndKind(k.APIVersion, k.Kind).GroupVersion().WithResource(k.Plural)
}

// kinds are those that Kubewright uses. What stands here need not be asked for.
var kinds = []Kind{
	{APIVersion: "v1", Kind: "Namespace", Plural: "namespaces"},
	{APIVersion: "v1", Kind: "Node", Plural: "nodes", Made: true},
	{APIVersion: "v1", Kind: "Pod", Plural: "pods", Namespaced: true, Made: true},
	{APIVersion: "v1", Kind: "ServiceAccount", Plural: "serviceaccounts", Namespaced: true},
	{APIVersion: "v1", Kind: "ConfigMap", Plural: "configmaps", Namespaced: true},
	{APIVersion: "v1", Kind: "Secret", Plural: "secrets", Namespaced: true},
	{APIVersion: "v1", Kind: "Service", Plural: "services", Namespaced: true},
	{APIVersion: "apps/v1", Kind: "DaemonSet", Plural: "daemonsets", Namespaced: true},
	{APIVersion: "apps/v1", Kind: "Deployment", Plural: "deployments", Namespaced: true},
	{APIVersion: "apps/v1", Kind: "StatefulSet", Plural: "statefulsets", Namespaced: true},
	{APIVersion: "policy/v1", Kind: "PodDisruptionBudget", Plural: "poddisruptionbudgets", Namespaced: true},
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role", Plural: "roles", Namespaced: true},
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding", Plural: "rolebindings", Namespaced: true},
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Plural: "clusterroles"},
	{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding", Plural: "clusterrolebindings"},
	{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService", Plural: "apiservices"},
	{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Plural: "customresourcedefinitions"},
	{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest", Plural: "certificatesigningrequests", Made: true},
	{APIVersion: "scheduling.k8s.io/v1", Kind: "PriorityClass", Plural: "priorityclasses"},
	{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicy", Plural: "validatingadmissionpolicies"},
	{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyBinding", Plural: "validatingadmissionpolicybindings"},
	{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Plural: "networkpolicies", Namespaced: true},
	{APIVersion: "storage.k8s.io/v1", Kind: "VolumeAttachment", Plural: "volumeattachments", Made: true},
	{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Plural: "leases", Namespaced: true, Made: true},
}

// Kinds are all that are known.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindOf finds one.
func KindOf(apiVersion, kind string) (Kind, error) {
	for _, k := range kinds {
		if k.APIVersion == apiVersion && k.Kind == kind {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("there is no kind %s of %s among those that are known here", kind, apiVersion)
}

// Ref names an object.
type Ref struct {
	APIVersion, Kind string
	Namespace        string // empty for what is in none
	Name             string // empty for all of a kind
}

// RefOf names an object that is there.
func RefOf(u *unstructured.Unstructured) Ref {
	return Ref{u.GetAPIVersion(), u.GetKind(), u.GetNamespace(), u.GetName()}
}

// String is kind, namespace and name: "ConfigMap kube-system/coredns".
func (r Ref) String() string {
	if r.Namespace != "" {
		return r.Kind + " " + r.Namespace + "/" + r.Name
	}
	return r.Kind + " " + r.Name
}

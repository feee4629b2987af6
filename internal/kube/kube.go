// Package kube reaches the Kubernetes API with the credentials that lie on a machine: apply, get, list, patch, delete, and whether it is ready. It knows nothing of
// resources, hosts or what a cluster is made of.
package kube

import (
	_ "k8s.io/api/apps/v1"
	_ "k8s.io/api/certificates/v1"
	_ "k8s.io/api/core/v1"
	_ "k8s.io/api/rbac/v1"
	_ "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	_ "k8s.io/client-go/dynamic"
	_ "k8s.io/client-go/rest"
	_ "k8s.io/client-go/tools/clientcmd"
)

package main

import (
	"context"
	"fmt"
	"net/http"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// client speaks of requests and of the inventory. It knows these two kinds only: a client of all of Kubernetes would be many times its size.
type client struct {
	certificates, core *rest.RESTClient
}

const requests = "certificatesigningrequests"

func newClient(config *rest.Config) (client, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(certificatesv1.SchemeGroupVersion, &certificatesv1.CertificateSigningRequest{}, &certificatesv1.CertificateSigningRequestList{})
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.ConfigMap{}, &corev1.ConfigMapList{})
	metav1.AddToGroupVersion(scheme, certificatesv1.SchemeGroupVersion)
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()

	config = rest.CopyConfig(config)
	config.UserAgent = "kubewright-approver/" + version
	config.QPS, config.Burst = 50, 100 // a fleet's certificates may end together
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return client{}, fmt.Errorf("reading the credentials of the Pod: %w", err)
	}
	of := func(path string, version schema.GroupVersion) (*rest.RESTClient, error) {
		c := rest.CopyConfig(config)
		c.APIPath, c.GroupVersion, c.NegotiatedSerializer = path, &version, codecs
		return rest.RESTClientForConfigAndClient(c, transport)
	}
	certificates, err := of("/apis", certificatesv1.SchemeGroupVersion)
	if err != nil {
		return client{}, err
	}
	core, err := of("/api", corev1.SchemeGroupVersion)
	return client{certificates, core}, err
}

// requests lists and watches all requests to the signer.
func (c client) requests() cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.certificates, requests, metav1.NamespaceAll, fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeletServingSignerName))
}

// inventory lists and watches the one ConfigMap.
func (c client) inventory() cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.core, "configmaps", inventoryNamespace, fields.OneTermEqualSelector(metav1.ObjectNameField, inventoryName))
}

// approve approves a request as it was read. That another has written it meanwhile, or removed it, is no error: what is there now is looked at anew.
func (c client) approve(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) (bool, error) {
	csr = csr.DeepCopy()
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, LastUpdateTime: metav1.Now(), Reason: "InInventory",
		Message: "The node asks for itself, and for the names and addresses that it has in ConfigMap " + inventoryNamespace + "/" + inventoryName + ".",
	})
	err := c.certificates.Verb(http.MethodPut).Resource(requests).Name(csr.Name).SubResource("approval").Body(csr).Do(ctx).Error()
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Package kube reaches the Kubernetes API with the credentials that lie on a machine: apply, get, list, patch, delete, evict, and whether it is ready. It knows nothing of
// resources, hosts or what a cluster is made of, and reads no files.
package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// FieldManager is the name by which the API remembers what Kubewright applied.
const FieldManager = "kubewright"

// requestTime is how long a request may take. An API server gives up after a minute (kube-apiserver --request-timeout); what is asked here takes milliseconds.
const requestTime = 15 * time.Second

// Client is a client of one API server, one that was ready. It is safe for use by several goroutines.
type Client struct {
	// Server is who is asked: "10.0.0.11:6443".
	Server string

	http    *http.Client
	dynamic *dynamic.DynamicClient
	// lost says that the server failed to serve, so another one should be asked.
	lost atomic.Bool
}

// Open makes a client of the content of a kubeconfig, whose credentials have to be in it, and of the first of some servers ("10.0.0.11:6443") that is ready; the kubeconfig's own
// server is not asked. If none is, the error is an *UnreachableError.
func Open(ctx context.Context, kubeconfig []byte, servers []string) (*Client, error) {
	cfg, err := config(kubeconfig)
	if err != nil {
		return nil, err
	}
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("the credentials of the kubeconfig cannot be used: %w", err)
	}
	server, err := pick(ctx, h, servers)
	if err != nil {
		h.CloseIdleConnections()
		return nil, err
	}
	cfg.Host = "https://" + server
	d, err := dynamic.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", server, err)
	}
	return &Client{Server: server, http: h, dynamic: d}, nil
}

// config reads a kubeconfig.
func config(kubeconfig []byte) (*rest.Config, error) {
	cfg, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	t := cfg.TLSClientConfig
	if t.Insecure || t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || cfg.BearerTokenFile != "" || cfg.ExecProvider != nil || cfg.AuthProvider != nil {
		return nil, fmt.Errorf("the kubeconfig names files or programs, or has no authority; its credentials have to be in it")
	}
	cfg.QPS = -1 // one machine asks for a few dozen objects
	cfg.Timeout = requestTime
	cfg.UserAgent = FieldManager
	cfg.WarningHandler = rest.NoWarnings{}
	// The servers are next door, whatever proxy the machine has for the world. It also keeps client-go from sharing connections behind our back.
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return impatient{next} })
	return cfg, nil
}

// impatient has who evicts hear at once that a Pod cannot go now. The API may say after how many seconds to ask again, and client-go would do so by itself, for minutes, without telling why.
type impatient struct{ http.RoundTripper }

func (t impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/"+eviction) {
		answer.Header.Del("Retry-After")
	}
	return answer, err
}

// eviction is the part of a Pod by which it is evicted.
const eviction = "eviction"

// Close lets go of connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get reads an object.
func (c *Client) Get(ctx context.Context, r Ref) (*unstructured.Unstructured, error) {
	api, err := c.resource(r)
	if err != nil {
		return nil, err
	}
	return c.answer(api.Get(ctx, r.Name, metav1.GetOptions{}))
}

// Apply has the server apply an object (server-side apply, by force) and returns what becomes of it. A trial changes nothing.
func (c *Client) Apply(ctx context.Context, object *unstructured.Unstructured, trial bool) (*unstructured.Unstructured, error) {
	r := RefOf(object)
	api, err := c.resource(r)
	if err != nil {
		return nil, err
	}
	o := metav1.ApplyOptions{FieldManager: FieldManager, Force: true}
	if trial {
		o.DryRun = []string{metav1.DryRunAll}
	}
	return c.answer(api.Apply(ctx, r.Name, object, o))
}

// Patch changes an object, or a part of it that has a path of its own ("approval", "status").
func (c *Client) Patch(ctx context.Context, r Ref, kind types.PatchType, patch []byte, subresources ...string) (*unstructured.Unstructured, error) {
	api, err := c.resource(r)
	if err != nil {
		return nil, err
	}
	return c.answer(api.Patch(ctx, r.Name, kind, patch, metav1.PatchOptions{FieldManager: FieldManager}, subresources...))
}

// List reads all objects of the kind of a reference that have some labels ("a=b,c=d"), in its namespace or, if that is empty, in all.
func (c *Client) List(ctx context.Context, of Ref, labels string) ([]unstructured.Unstructured, error) {
	return c.list(ctx, of, metav1.ListOptions{LabelSelector: labels})
}

// ListOn reads all Pods that are bound to a node, of all namespaces. The API looks for them: a cluster may have a hundred thousand others.
func (c *Client) ListOn(ctx context.Context, node string) ([]unstructured.Unstructured, error) {
	return c.list(ctx, Ref{APIVersion: "v1", Kind: "Pod"}, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
}

func (c *Client) list(ctx context.Context, of Ref, o metav1.ListOptions) ([]unstructured.Unstructured, error) {
	api, err := c.resource(of)
	if err != nil {
		return nil, err
	}
	l, err := api.List(ctx, o)
	if err != nil {
		return nil, c.note(err)
	}
	return l.Items, nil
}

// Delete deletes an object, and in the background what it owns. One that is not there is no error.
func (c *Client) Delete(ctx context.Context, r Ref) error {
	api, err := c.resource(r)
	if err != nil {
		return err
	}
	err = api.Delete(ctx, r.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	if IsNotFound(err) {
		return nil
	}
	return c.note(err)
}

// DeleteNow deletes an object as it was read, without the time that it may take to end (grace period 0): for what nothing runs any more. If it is not there, or another one has its
// name by now, that is no error.
func (c *Client) DeleteNow(ctx context.Context, object *unstructured.Unstructured) error {
	r := RefOf(object)
	api, err := c.resource(r)
	if err != nil {
		return err
	}
	err = api.Delete(ctx, r.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: new(object.GetUID())}, PropagationPolicy: new(metav1.DeletePropagationBackground),
	})
	if IsNotFound(err) || IsConflict(err) {
		return nil
	}
	return c.note(err)
}

// Evict asks for a Pod to be deleted as it was read, in the time that it may take to end, unless a PodDisruptionBudget needs it: then the error has a BudgetCause. If it is not there,
// or another one has its name by now, that is no error.
func (c *Client) Evict(ctx context.Context, pod *unstructured.Unstructured) error {
	r := RefOf(pod)
	api, err := c.resource(r)
	if err != nil {
		return err
	}
	answer, err := api.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]any{"namespace": r.Namespace, "name": r.Name},
		"deleteOptions": map[string]any{"preconditions": map[string]any{"uid": string(pod.GetUID())}},
	}}, metav1.CreateOptions{}, eviction)
	// Of a Pod with two budgets it is said by a code that stands for success that it failed (Create of pkg/registry/core/pod/storage/eviction.go of Kubernetes v1.37).
	if err == nil && answer.GetKind() == "Status" {
		if said, _, _ := unstructured.NestedString(answer.Object, "status"); said == metav1.StatusFailure {
			return apierrors.FromObject(answer)
		}
	}
	if IsNotFound(err) || IsConflict(err) {
		return nil
	}
	return c.note(err)
}

// resource is where objects of a kind are. A namespace that is empty is all of them, for lists.
func (c *Client) resource(r Ref) (dynamic.ResourceInterface, error) {
	k, err := KindOf(r.APIVersion, r.Kind)
	switch {
	case err != nil:
		return nil, err
	case k.Namespaced && r.Namespace == "" && r.Name != "":
		return nil, fmt.Errorf("the %s %q needs a namespace", r.Kind, r.Name)
	case !k.Namespaced && r.Namespace != "":
		return nil, fmt.Errorf("the %s %q cannot be in a namespace (%s)", r.Kind, r.Name, r.Namespace)
	}
	return c.dynamic.Resource(k.resource()).Namespace(r.Namespace), nil
}

func (c *Client) answer(u *unstructured.Unstructured, err error) (*unstructured.Unstructured, error) {
	if err != nil {
		return nil, c.note(err)
	}
	return u, nil
}

// note remembers that the server does not serve, and says so.
func (c *Client) note(err error) error {
	code := status(err)
	if err == nil || errors.Is(err, context.Canceled) || code != 0 && code < http.StatusInternalServerError {
		return err
	}
	c.lost.Store(true)
	if code == 0 {
		return &UnreachableError{Reasons: []string{c.Server + ": it was ready, but then: " + plain(err).Error()}, Before: true}
	}
	return err
}

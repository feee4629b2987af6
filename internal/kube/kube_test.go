package kube_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/kube/fake"
)

func start(t *testing.T) *fake.API {
	t.Helper()
	a := fake.New()
	t.Cleanup(a.Close)
	return a
}

func open(t *testing.T, a *fake.API) *kube.Client {
	t.Helper()
	c, err := kube.Open(t.Context(), a.Kubeconfig, []string{a.Address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// silent is an address where somebody listens who never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "a", "name": name, "labels": map[string]any{"of": name}},
		"data": map[string]any{"key": value},
	}}
}

func TestThereAndBack(t *testing.T) {
	a := start(t)
	c := open(t, a)
	ref := kube.RefOf(configMap("b", ""))
	if _, err := c.Get(t.Context(), ref); !kube.IsNotFound(err) {
		t.Errorf("what is not there: %v", err)
	}
	if got, err := c.Apply(t.Context(), configMap("b", "1"), true); err != nil || got.GetName() != "b" {
		t.Errorf("a trial returns %v, %v", got, err)
	}
	if a.Object(ref) != nil {
		t.Error("a trial was no trial")
	}
	if _, err := c.Apply(t.Context(), configMap("b", "1"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Patch(t.Context(), ref, types.MergePatchType, []byte(`{"data":{"other":"2"}}`)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if data, _, _ := unstructured.NestedStringMap(got.Object, "data"); data["key"] != "1" || data["other"] != "2" {
		t.Errorf("it holds %v", data)
	}
	if _, err := c.Apply(t.Context(), configMap("c", "1"), false); err != nil {
		t.Fatal(err)
	}
	for labels, want := range map[string]int{"": 2, "of=c": 1, "of=d": 0} {
		if l, err := c.List(t.Context(), kube.Ref{APIVersion: "v1", Kind: "ConfigMap"}, labels); err != nil || len(l) != want {
			t.Errorf("%d have %q, %v", len(l), labels, err)
		}
	}
	for range 2 {
		if err := c.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	want := "PATCH /api/v1/namespaces/a/configmaps/b?dryRun=All&fieldManager=kubewright&force=true&timeout=15s"
	if r := a.Requests(); !slices.Contains(r, want) || a.Object(ref) != nil {
		t.Errorf("%q lacks %q", r, want)
	}
}

func TestKindsAndNamespaces(t *testing.T) {
	a := start(t)
	c := open(t, a)
	for _, r := range []kube.Ref{
		{APIVersion: "v1", Kind: "ConfigMap", Name: "x"}, {APIVersion: "v1", Kind: "Node", Namespace: "a", Name: "x"}, {APIVersion: "v1", Kind: "Deployment", Namespace: "a", Name: "x"},
	} {
		if _, err := c.Get(t.Context(), r); err == nil || kube.IsNotFound(err) || kube.MayPass(err) {
			t.Errorf("%s %v: %v", r.APIVersion, r, err)
		}
	}
	if r := a.Requests(); len(r) > 0 {
		t.Errorf("the server was asked %q", r)
	}
}

func TestFirstServerThatIsReady(t *testing.T) {
	a := start(t)
	other := start(t)
	other.SetReady("[-]etcd failed: reason withheld")
	for name, servers := range map[string][]string{
		"only":                        {a.Address},
		"after a closed":              {closedPort(t), a.Address},
		"after a silent":              {silent(t), a.Address},
		"after one that is not ready": {other.Address, a.Address},
	} {
		c, err := kube.Open(t.Context(), a.Kubeconfig, servers)
		if err != nil || c.Server != a.Address {
			t.Errorf("%s: %v, %v", name, c, err)
			continue
		}
		c.Close()
	}
	a.SetReady("[-]etcd failed: reason withheld")
	closed, quiet := closedPort(t), silent(t)
	_, err := kube.Open(t.Context(), a.Kubeconfig, []string{closed, a.Address, quiet, other.Address})
	u, ok := errors.AsType[*kube.UnreachableError](err)
	if !ok || len(u.Reasons) != 4 || !kube.MayPass(err) {
		t.Fatalf("it fails with %v", err)
	}
	for i, want := range []string{closed + ": connect: connection refused", a.Address + ": it is not ready: etcd failed", quiet + ": it does not answer within 2s", other.Address + ": it is not ready"} {
		if !strings.Contains(u.Reasons[i], want) {
			t.Errorf("%q lacks %q", u.Reasons[i], want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kube.Open(ended, a.Kubeconfig, []string{quiet}); !errors.Is(err, context.Canceled) {
		t.Errorf("what was called off fails with %v", err)
	}
	if _, err := kube.Open(t.Context(), a.Kubeconfig, nil); err == nil {
		t.Error("there is a client of nobody")
	}
}

func TestKubeconfigThatNamesFiles(t *testing.T) {
	a := start(t)
	for _, change := range [][2]string{
		{"token: of-the-test", "tokenFile: /etc/shadow"}, {"token: of-the-test", "exec: {command: id, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"},
		{"server: https", "insecure-skip-tls-verify: true\n    server: https"}, {"apiVersion: v1", "apiVersion: v1: x"},
	} {
		c := strings.Replace(string(a.Kubeconfig), change[0], change[1], 1)
		if c == string(a.Kubeconfig) {
			t.Fatalf("there is no %q in\n%s", change[0], c)
		}
		if _, err := kube.Open(t.Context(), []byte(c), []string{a.Address}); err == nil {
			t.Errorf("%s is taken", change[1])
		}
	}
}

func TestWhatMayPass(t *testing.T) {
	a := start(t)
	c := open(t, a)
	for _, f := range []struct {
		fake.Failure
		passes, quotes bool
	}{
		{fake.Failure{Code: 400, Reason: metav1.StatusReasonBadRequest}, false, true}, {fake.Failure{Code: 401, Reason: metav1.StatusReasonUnauthorized}, false, false},
		{fake.Failure{Code: 403, Reason: metav1.StatusReasonForbidden}, false, false}, {fake.Failure{Code: 404, Reason: metav1.StatusReasonNotFound}, true, false},
		{fake.Failure{Code: 409, Reason: metav1.StatusReasonConflict}, true, false}, {fake.Failure{Code: 422, Reason: metav1.StatusReasonInvalid}, false, true},
		{fake.Failure{Code: 429, Reason: metav1.StatusReasonTooManyRequests}, true, false}, {fake.Failure{Code: 500, Reason: metav1.StatusReasonInternalError}, true, true},
		{fake.Failure{Code: 503, Reason: metav1.StatusReasonServiceUnavailable}, true, false},
	} {
		a.SetFailure(func(*http.Request) *fake.Failure { return &f.Failure })
		_, err := c.Apply(t.Context(), configMap("b", ""), false)
		if err == nil || kube.MayPass(err) != f.passes || kube.QuotesObject(err) != f.quotes {
			t.Errorf("%d: %v passes %t, quotes %t", f.Code, err, kube.MayPass(err), kube.QuotesObject(err))
		}
	}
	a.Close()
	if _, err := c.Apply(t.Context(), configMap("b", ""), false); !kube.MayPass(err) {
		t.Errorf("of a server that has gone: %v", err)
	}
}

func TestPool(t *testing.T) {
	a, other := start(t), start(t)
	servers := []string{a.Address, other.Address}
	p := &kube.Pool{}
	defer p.Close()
	get := func() *kube.Client {
		t.Helper()
		c, err := p.Open(t.Context(), a.Kubeconfig, servers)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get()
	if get() != first {
		t.Error("each call makes a client")
	}
	ref := kube.RefOf(configMap("b", ""))
	if _, err := first.Get(t.Context(), ref); !kube.IsNotFound(err) || get() != first {
		t.Errorf("what is not there makes it another client: %v", err)
	}
	// A server that does not serve is left, as soon as another is ready.
	a.SetFailure(func(*http.Request) *fake.Failure {
		return &fake.Failure{Code: 503, Reason: metav1.StatusReasonServiceUnavailable, Message: "etcd has no leader"}
	})
	if _, err := first.Get(t.Context(), ref); err == nil {
		t.Fatal("it does not fail")
	}
	a.SetReady("[-]etcd failed: reason withheld")
	// Both have the certificate of httptest, but tokens and objects of their own.
	if c := get(); c.Server != other.Address {
		t.Errorf("asked is %s, which is not ready", c.Server)
	}
	other.Close()
	c, _ := p.Open(t.Context(), a.Kubeconfig, servers)
	if _, err := c.Get(t.Context(), ref); !kube.MayPass(err) {
		t.Errorf("of a server that has gone: %v", err)
	}
	for range 2 {
		_, err := p.Open(t.Context(), a.Kubeconfig, servers)
		if u, ok := errors.AsType[*kube.UnreachableError](err); !ok || !u.Before {
			t.Errorf("an API that was ready before: %v", err)
		}
	}
	_, err := (&kube.Pool{}).Open(t.Context(), a.Kubeconfig, servers)
	if u, ok := errors.AsType[*kube.UnreachableError](err); !ok || u.Before {
		t.Errorf("an API that was never ready: %v", err)
	}
}

func TestUnwell(t *testing.T) {
	for body, want := range map[string]string{
		"": "500 no", "bad\nthing\n": "500 no: bad", `{"kind":"Status"}`: "500 no",
		"[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed: not finished\nreadyz check failed\n": "etcd failed, poststarthook/x failed: not finished",
	} {
		if got := kube.Unwell("500 no", []byte(body)); got != want {
			t.Errorf("%q: %q", body, got)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// api is as much of an API server as the approver needs: two kinds of objects, listed, watched, approved.
type api struct {
	t       *testing.T
	mu      sync.Mutex
	version int
	objects map[string]map[string]metav1.Object // by kind of path and name
	changed map[chan event]string               // who watches which kind
	puts    int
	refuse  int // answer to the next approval, if not 0
}

type event struct {
	Type   string `json:"type"`
	Object any    `json:"object"`
}

func (a *api) set(kind string, o metav1.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	what := "MODIFIED"
	if a.objects[kind][o.GetName()] == nil {
		what = "ADDED"
	}
	a.version++
	o.SetResourceVersion(fmt.Sprint(a.version))
	a.objects[kind][o.GetName()] = o
	for c, k := range a.changed {
		if k == kind {
			c <- event{what, o}
		}
	}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, selector := "csr", "spec.signerName=kubernetes.io/kubelet-serving"
	group := "certificates.k8s.io/v1"
	switch {
	case r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/apis/certificates.k8s.io/v1/certificatesigningrequests/"):
		a.approve(w, r)
		return
	case r.URL.Path == "/apis/certificates.k8s.io/v1/certificatesigningrequests":
	case r.URL.Path == "/api/v1/namespaces/kube-system/configmaps":
		kind, selector, group = "map", "metadata.name=kubewright-inventory", "v1"
	default:
		a.t.Errorf("asked for %s %s", r.Method, r.URL)
		return
	}
	if got := r.URL.Query().Get("fieldSelector"); got != selector {
		a.t.Errorf("%s: asked for %q", kind, got)
	}
	w.Header().Set("Content-Type", "application/json")
	a.mu.Lock()
	var all []any
	for _, o := range a.objects[kind] {
		all = append(all, o)
	}
	version := fmt.Sprint(a.version)
	changes := make(chan event, 100)
	watch := r.URL.Query().Get("watch") != ""
	if watch {
		a.changed[changes] = kind
	}
	a.mu.Unlock()
	out := json.NewEncoder(w)
	if !watch {
		_ = out.Encode(map[string]any{"apiVersion": group, "kind": map[string]string{"csr": "CertificateSigningRequestList", "map": "ConfigMapList"}[kind], "metadata": map[string]string{"resourceVersion": version}, "items": all})
		return
	}
	send := func(e event) {
		_ = out.Encode(e)
		w.(http.Flusher).Flush()
	}
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		for _, o := range all {
			send(event{"ADDED", o})
		}
		send(event{"BOOKMARK", map[string]any{"apiVersion": group, "kind": map[string]string{"csr": "CertificateSigningRequest", "map": "ConfigMap"}[kind],
			"metadata": map[string]any{"resourceVersion": version, "annotations": map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}})
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case e := <-changes:
			send(e)
		case <-r.Context().Done():
			a.mu.Lock()
			delete(a.changed, changes)
			a.mu.Unlock()
			return
		}
	}
}

func (a *api) approve(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/apis/certificates.k8s.io/v1/certificatesigningrequests/"), "/approval")
	b, err := io.ReadAll(r.Body)
	var csr certificatesv1.CertificateSigningRequest
	if err == nil {
		err = json.Unmarshal(b, &csr)
	}
	if err != nil || !ok || csr.Name != name || csr.APIVersion != "certificates.k8s.io/v1" || csr.Kind != "CertificateSigningRequest" {
		a.t.Errorf("PUT %s: %s, %v", r.URL.Path, b, err)
	}
	a.mu.Lock()
	a.puts++
	code := a.refuse
	a.refuse = 0
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if code != 0 {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(code),
			Reason: map[int]metav1.StatusReason{http.StatusConflict: metav1.StatusReasonConflict, http.StatusInternalServerError: metav1.StatusReasonInternalError}[code]})
		return
	}
	a.set("csr", &csr)
	_ = json.NewEncoder(w).Encode(&csr)
}

func (a *api) get(name string) *certificatesv1.CertificateSigningRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects["csr"][name].(*certificatesv1.CertificateSigningRequest)
}

func (a *api) ask(t *testing.T, name string, w *wanted) {
	t.Helper()
	a.set("csr", &certificatesv1.CertificateSigningRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}, Spec: w.make(t),
	})
}

func (a *api) inventory(text string) {
	a.set("map", &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: inventoryNamespace, Name: inventoryName}, Data: map[string]string{inventoryKey: text},
	})
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestApprover(t *testing.T) {
	a := &api{t: t, objects: map[string]map[string]metav1.Object{"csr": {}, "map": {}}, changed: map[chan event]string{}}
	server := httptest.NewServer(a)
	defer server.Close()
	log := &logged{}
	approver, err := newApprover(&rest.Config{Host: server.URL}, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	wait := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.After(20 * time.Second); !holds(); {
			select {
			case <-tick.C:
			case <-end:
				t.Fatalf("%s: never; the log is\n%s", what, log)
			}
		}
	}
	approved := func(name string) func() bool {
		return func() bool {
			c := a.get(name).Status.Conditions
			return len(c) == 1 && c[0].Type == certificatesv1.CertificateApproved && c[0].Status == corev1.ConditionTrue && c[0].Reason != ""
		}
	}
	says := func(times int, texts ...string) func() bool {
		return func() bool {
			n := 0
			for line := range strings.Lines(log.String()) {
				all := true
				for _, text := range texts {
					all = all && strings.Contains(line, text)
				}
				if all {
					n++
				}
			}
			return n == times
		}
	}
	health := func(path string) int {
		w := httptest.NewRecorder()
		healthHandler(approver.synced).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	if health("/healthz") != http.StatusOK || health("/readyz") != http.StatusServiceUnavailable {
		t.Error("ready before anything was read")
	}

	// Before there is an inventory, nobody is approved; then who is in it.
	a.ask(t, "early", askedBy("w1", "10.0.1.1"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { approver.run(ctx) })
	wait("a request without an inventory is named", says(1, `"request":"early"`, "there is no ConfigMap kube-system/kubewright-inventory"))
	if health("/readyz") != http.StatusOK {
		t.Error("not ready")
	}
	a.inventory("{")
	wait("a damaged inventory is named", says(1, `"request":"early"`, "is damaged"))
	a.inventory(nodes)
	wait("a request that was early is approved", approved("early"))
	a.ask(t, "late", askedBy("w2", "10.0.1.2"))
	wait("a request that comes later is approved", approved("late"))

	// What does not fit is named once, however often it is looked at.
	hostile := askedBy("w1", "10.0.1.1")
	hostile.template.DNSNames = []string{"kubernetes.default.svc"}
	a.ask(t, "hostile", hostile)
	wait("a hostile request is named", says(1, `"request":"hostile"`, "kubernetes.default.svc"))
	a.inventory(nodes + " ")
	a.ask(t, "new", askedBy("w9", "10.0.1.9"))
	wait("a new node is named", says(1, `"request":"new"`, "has no node"))
	a.inventory(strings.Replace(nodes, `"nodes": [`, `"nodes": [{"name": "w9", "addresses": ["10.0.1.9"], "dnsNames": ["w9"]},`, 1))
	wait("a new node is approved as soon as it is in the inventory", approved("new"))
	if !says(1, `"request":"hostile"`)() || len(a.get("hostile").Status.Conditions) > 0 {
		t.Errorf("the hostile request is %+v, and the log\n%s", a.get("hostile").Status, log)
	}

	// An API server that fails is asked again; another approver that was first is no failure.
	a.mu.Lock()
	a.refuse = http.StatusInternalServerError
	a.mu.Unlock()
	a.ask(t, "failing", askedBy("w1", "10.0.1.1"))
	wait("a request is approved after a failure", approved("failing"))
	if !says(1, `"request":"failing"`, "trying again")() {
		t.Errorf("the log is\n%s", log)
	}
	a.mu.Lock()
	a.refuse, a.puts = http.StatusConflict, 0
	a.mu.Unlock()
	a.ask(t, "contested", askedBy("w1", "10.0.1.1"))
	wait("a contested request is tried", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.puts == 1 })
	other := a.get("contested").DeepCopy()
	other.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue}}
	a.set("csr", other)
	a.ask(t, "last", askedBy("w1", "10.0.1.1"))
	wait("the last request is approved", approved("last"))
	if c := a.get("contested").Status.Conditions; len(c) != 1 || c[0].Type != certificatesv1.CertificateDenied || !says(0, `"request":"contested"`)() {
		t.Errorf("the contested request is %+v, and the log\n%s", c, log)
	}

	cancel()
	wg.Wait()
}

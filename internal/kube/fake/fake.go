// Package fake is a Kubernetes API in memory, over TLS as a real one, for tests: it keeps objects, applies and patches them, evicts Pods, and fails as it is told. It gives no defaults and
// checks nothing: what is applied is merged into what is there, lists as a whole. It remembers what each manager applied, and takes away what one does not apply any more.
package fake

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/kube"
)

// API is one API server. It is safe for use by several goroutines.
type API struct {
	// Address of it: "127.0.0.1:43210".
	Address string
	// Kubeconfig with which it is asked.
	Kubeconfig []byte

	server *httptest.Server

	mu       sync.Mutex
	objects  map[kube.Ref]map[string]any
	version  int
	unready  string
	fail     func(r *http.Request) *Failure
	requests []string
}

// Failure is an answer that is none of what was asked for.
type Failure struct {
	Code    int
	Reason  metav1.StatusReason
	Message string
	Details *metav1.StatusDetails
}

// token that requests have to bear.
const token = "of-the-test"

// New is one that is ready and has no objects. Close it when it is done with.
func New() *API {
	a := &API{objects: map[kube.Ref]map[string]any{}}
	a.server = httptest.NewTLSServer(http.HandlerFunc(a.serve))
	a.Address = a.server.Listener.Addr().String()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	config, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": "https://nobody.invalid:6443", "certificate-authority-data": ca}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{"token": token}}},
		"contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "c", "user": "u"}}},
	})
	if err != nil {
		panic(err) // never: it is a map of texts
	}
	a.Kubeconfig = config
	return a
}

// Close ends it: nobody answers any more.
func (a *API) Close() { a.server.Close() }

// SetReady has it be ready, or not for a reason ("[-]etcd failed").
func (a *API) SetReady(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unready = why
}

// SetFailure has requests fail of which a function returns a failure; nil ends that.
func (a *API) SetFailure(fail func(r *http.Request) *Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = fail
}

// Put has an object be there as it is, in JSON or YAML.
func (a *API) Put(object string) {
	var o map[string]any
	b, err := yaml.YAMLToJSON([]byte(object))
	if err == nil {
		u := &unstructured.Unstructured{}
		err = u.UnmarshalJSON(b)
		o = u.Object
	}
	if err != nil {
		panic(fmt.Sprintf("an object of a test: %v", err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(kube.RefOf(&unstructured.Unstructured{Object: o}), o)
}

// Remove has an object not be there.
func (a *API) Remove(r kube.Ref) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.objects, r)
}

// Object is one that is there, or nil.
func (a *API) Object(r kube.Ref) *unstructured.Unstructured {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.objects[r]; o != nil {
		return (&unstructured.Unstructured{Object: o}).DeepCopy()
	}
	return nil
}

// Requests are those since it was asked last: "PATCH /api/v1/namespaces/a/configmaps/b?dryRun=All&…".
func (a *API) Requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.requests
	a.requests = nil
	return r
}

func (a *API) keep(r kube.Ref, o map[string]any) {
	a.version++
	u := unstructured.Unstructured{Object: o}
	u.SetResourceVersion(strconv.Itoa(a.version))
	a.objects[r] = o
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path == "/readyz" {
		if a.unready != "" {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "[+]ping ok\n"+a.unready+"\nreadyz check failed\n")
		}
		return
	}
	a.requests = append(a.requests, r.Method+" "+r.URL.RequestURI())
	o, failure := a.answer(r)
	w.Header().Set("Content-Type", "application/json")
	if failure != nil {
		if d := failure.Details; d != nil && d.RetryAfterSeconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(d.RetryAfterSeconds)))
		}
		w.WriteHeader(failure.Code)
		o = map[string]any{
			"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": failure.Code, "reason": failure.Reason, "message": failure.Message, "details": failure.Details,
		}
	}
	_ = json.NewEncoder(w).Encode(o)
}

func (a *API) answer(r *http.Request) (map[string]any, *Failure) {
	if r.Header.Get("Authorization") != "Bearer "+token {
		return nil, &Failure{Code: http.StatusUnauthorized, Reason: metav1.StatusReasonUnauthorized, Message: "Unauthorized"}
	}
	if a.fail != nil {
		if f := a.fail(r); f != nil {
			return nil, f
		}
	}
	ref, ok := refOf(r.URL.Path)
	if !ok {
		return nil, &Failure{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: "the server could not find the requested resource"}
	}
	there := a.objects[ref]
	switch {
	case r.Method == http.MethodGet && ref.Name == "":
		return a.list(ref, r.URL.Query())
	case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == applyPatch || r.Method == http.MethodPatch && there != nil:
		return a.patch(r, ref, there)
	case there == nil:
		return nil, &Failure{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: ref.String() + " not found"}
	case r.Method == http.MethodPost && path.Base(r.URL.Path) == "eviction":
		return a.evict(r, ref, there)
	case r.Method == http.MethodDelete:
		var o metav1.DeleteOptions
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			return nil, &Failure{Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: err.Error()}
		}
		return a.remove(ref, there, o)
	}
	return there, nil
}

func (a *API) list(of kube.Ref, query url.Values) (map[string]any, *Failure) {
	s, err := labels.Parse(query.Get("labelSelector"))
	var f fields.Selector
	if err == nil {
		f, err = fields.ParseSelector(query.Get("fieldSelector"))
	}
	if err != nil {
		return nil, &Failure{Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: err.Error()}
	}
	items := []any{}
	for _, r := range slices.SortedFunc(maps.Keys(a.objects), func(a, b kube.Ref) int { return strings.Compare(a.String(), b.String()) }) {
		u := unstructured.Unstructured{Object: a.objects[r]}
		if r.APIVersion == of.APIVersion && r.Kind == of.Kind && (of.Namespace == "" || r.Namespace == of.Namespace) && s.Matches(labels.Set(u.GetLabels())) && f.Matches(values(u)) {
			items = append(items, u.Object)
		}
	}
	return map[string]any{"apiVersion": of.APIVersion, "kind": of.Kind + "List", "items": items}, nil
}

// values are the fields of an object by their paths: "spec.nodeName".
type values unstructured.Unstructured

func (v values) Get(path string) string {
	s, _, _ := unstructured.NestedString(v.Object, strings.Split(path, ".")...)
	return s
}

func (v values) Has(path string) bool { return v.Get(path) != "" }

func (a *API) patch(r *http.Request, ref kube.Ref, there map[string]any) (map[string]any, *Failure) {
	b, err := io.ReadAll(r.Body)
	if err == nil {
		b, err = yaml.YAMLToJSON(b)
	}
	u := &unstructured.Unstructured{}
	if err == nil {
		err = json.Unmarshal(b, &u.Object)
	}
	if err != nil {
		return nil, &Failure{Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: err.Error()}
	}
	is := unstructured.Unstructured{Object: there}
	if v := u.GetResourceVersion(); v != "" && v != is.GetResourceVersion() {
		return nil, &Failure{Code: http.StatusConflict, Reason: metav1.StatusReasonConflict, Message: "the object has been modified"}
	}
	var o map[string]any
	if there != nil {
		o = is.DeepCopy().Object
	} else {
		o = map[string]any{}
	}
	if r.Header.Get("Content-Type") == applyPatch {
		own(o, u.Object, r.URL.Query().Get("fieldManager"))
	}
	merge(o, u.Object)
	if r.URL.Query().Get("dryRun") == "" {
		a.keep(ref, o)
	}
	return o, nil
}

// applyPatch is the type of patches that are applied (server-side apply).
const applyPatch = "application/apply-patch+yaml"

// own makes fields of an object those of who applies them, and takes away those that he owned and does not apply any more, as if nobody else owned them, too.
func own(o, applied map[string]any, manager string) {
	named := (&unstructured.Unstructured{Object: applied}).DeepCopy().Object
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}} { // these have no owner
		unstructured.RemoveNestedField(named, path...)
	}
	if m, _ := named["metadata"].(map[string]any); len(m) == 0 {
		delete(named, "metadata")
	}
	fields := fieldsOf(named)
	entries, _, _ := unstructured.NestedSlice(o, "metadata", "managedFields")
	kept := []any{}
	for _, e := range entries {
		e, _ := e.(map[string]any)
		if e["manager"] != manager || e["operation"] != "Apply" {
			kept = append(kept, e)
			continue
		}
		were, _ := e["fieldsV1"].(map[string]any)
		takeAway(o, were, fields)
	}
	if len(fields) > 0 {
		kept = append(kept, map[string]any{
			"manager": manager, "operation": "Apply", "apiVersion": applied["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields,
		})
	}
	merge(o, map[string]any{"metadata": map[string]any{"managedFields": kept}})
}

// fieldsOf are the names of fields as managedFields have them. A list is one field.
func fieldsOf(o map[string]any) map[string]any {
	fields := map[string]any{}
	for name, value := range o {
		below, _ := value.(map[string]any)
		fields["f:"+name] = fieldsOf(below)
	}
	return fields
}

// takeAway takes fields from an object that were owned and are not any more.
func takeAway(o, were, are map[string]any) {
	for key, v := range were {
		name := strings.TrimPrefix(key, "f:")
		still, stays := are[key].(map[string]any)
		below, _ := v.(map[string]any)
		if m, ok := o[name].(map[string]any); ok && len(below) > 0 {
			takeAway(m, below, still)
			stays = stays || len(m) > 0
		}
		if !stays {
			delete(o, name)
		}
	}
}

// merge is JSON merge patch (RFC 7386).
func merge(into, from map[string]any) {
	for key, v := range from {
		m, ok := v.(map[string]any)
		switch {
		case v == nil:
			delete(into, key)
		case ok:
			there, _ := into[key].(map[string]any)
			if there == nil {
				there = map[string]any{}
			}
			merge(there, m)
			into[key] = there
		default:
			into[key] = v
		}
	}
}

// refOf is what a path leads to: /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NAMESPACE/]PLURAL[/NAME].
func refOf(path string) (kube.Ref, bool) {
	p := strings.Split(strings.Trim(path, "/"), "/")
	var version string
	switch {
	case len(p) > 2 && p[0] == "api":
		version, p = p[1], p[2:]
	case len(p) > 3 && p[0] == "apis":
		version, p = p[1]+"/"+p[2], p[3:]
	}
	namespace := ""
	if len(p) > 2 && p[0] == "namespaces" {
		namespace, p = p[1], p[2:]
	}
	for _, k := range kube.Kinds() {
		if k.APIVersion == version && k.Plural == p[0] {
			r := kube.Ref{APIVersion: version, Kind: k.Kind, Namespace: namespace}
			if len(p) > 1 {
				r.Name = p[1]
			}
			return r, true
		}
	}
	return kube.Ref{}, false
}

package resource_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// withAPI is a machine with credentials for an API.
func withAPI(t *testing.T) (*kubefake.API, *resource.Env, resource.API) {
	t.Helper()
	a := kubefake.New()
	t.Cleanup(a.Close)
	env := fake.New("m", nil).Env(nil)
	env.Kube = &kube.Pool{}
	t.Cleanup(env.Kube.Close)
	if err := env.Files.Write("/etc/kubernetes/admin.conf", resource.Attributes{Mode: 0o600}, strings.NewReader(string(a.Kubeconfig))); err != nil {
		t.Fatal(err)
	}
	return a, env, resource.API{Servers: []string{a.Address}}
}

func object(t *testing.T, api resource.API, text string) resource.KubeObject {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	k, err := resource.NewKubeObject(api, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func inWords(changes []resource.Change) string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.String())
		for _, l := range c.Lines {
			lines = append(lines, "  "+l)
		}
	}
	return strings.Join(lines, "\n")
}

const (
	aNode      = "{apiVersion: v1, kind: Node, metadata: {name: m1}}"
	aConfigMap = "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {k: v}}"
)

// Everything that asks the API says the same where there is none to ask.
func TestWhereNoAPIAnswers(t *testing.T) {
	resources := func(api resource.API) []resource.Resource {
		return []resource.Resource{
			object(t, api, aConfigMap), resource.KubeObjects{API: api, Component: "dns"}, resource.BootstrapToken{API: api}, resource.Node{API: api, Name: "m1"},
			resource.Drain{API: api, Node: "m1"}, resource.Cordon{API: api, Node: "m1", Cordoned: true}, resource.NodeAbsent{API: api, Name: "m1"},
		}
	}
	t.Run("no credentials", func(t *testing.T) {
		_, env, api := withAPI(t)
		if err := env.Files.Remove("/etc/kubernetes/admin.conf"); err != nil {
			t.Fatal(err)
		}
		for _, r := range resources(api) {
			if o, err := r.Observe(t.Context(), env); err == nil || !strings.Contains(err.Error(), "/etc/kubernetes/admin.conf") {
				t.Errorf("%s: %v, %v", r.ID(), o, err)
			}
		}
		api.New = true
		for _, r := range resources(api) {
			if o, err := r.Observe(t.Context(), env); err != nil || o.State != resource.Absent {
				t.Errorf("%s of a new cluster: %v, %v", r.ID(), o, err)
			}
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		a, env, api := withAPI(t)
		a.Close()
		for _, r := range resources(api) {
			o, err := r.Observe(t.Context(), env)
			if _, ok := errors.AsType[resource.TransientError](err); !ok || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("%s: %v, %v", r.ID(), o, err)
			}
		}
		api.New = true
		for _, r := range resources(api) {
			if o, err := r.Observe(t.Context(), env); err != nil || o.State != resource.Absent {
				t.Errorf("%s of a new cluster: %v, %v", r.ID(), o, err)
			}
			if _, node := r.(resource.Node); node {
				continue // it waits
			}
			if _, ok := errors.AsType[resource.TransientError](r.Apply(t.Context(), env)); !ok {
				t.Errorf("%s: applying it does not wait for an API", r.ID())
			}
		}
	})
	t.Run("nobody answers any more", func(t *testing.T) {
		a, env, api := withAPI(t)
		api.New = true
		for _, r := range resources(api) {
			if _, err := r.Observe(t.Context(), env); err != nil {
				t.Errorf("%s: %v", r.ID(), err)
			}
		}
		a.Close()
		for _, r := range resources(api) {
			o, err := r.Observe(t.Context(), env)
			if _, ok := errors.AsType[resource.TransientError](err); !ok {
				t.Errorf("%s, of a cluster that is there by now: %v, %v", r.ID(), o, err)
			}
		}
	})
}

func TestWhatTheAPIRefuses(t *testing.T) {
	for code, f := range map[int]struct {
		reason    metav1.StatusReason
		transient bool
	}{
		404: {metav1.StatusReasonNotFound, true}, // the namespace, which API servers make just after they are ready
		403: {metav1.StatusReasonForbidden, false}, 409: {metav1.StatusReasonConflict, true}, 422: {metav1.StatusReasonInvalid, false}, 429: {metav1.StatusReasonTooManyRequests, true},
		500: {metav1.StatusReasonInternalError, true}, 503: {metav1.StatusReasonServiceUnavailable, true},
	} {
		a, env, api := withAPI(t)
		a.SetFailure(func(r *http.Request) *kubefake.Failure {
			if r.Method != http.MethodPatch {
				return nil
			}
			return &kubefake.Failure{Code: code, Reason: f.reason, Message: "quoted"}
		})
		err := object(t, api, aConfigMap).Apply(t.Context(), env)
		if _, transient := errors.AsType[resource.TransientError](err); transient != f.transient || !strings.Contains(err.Error(), "ConfigMap a/b: quoted") {
			t.Errorf("%d: %v, transient %t", code, err, transient)
		}
		if code != 422 && code != 500 {
			continue
		}
		if err := object(t, api, strings.Replace(aConfigMap, "ConfigMap", "Secret", 1)).Apply(t.Context(), env); err == nil || strings.Contains(err.Error(), "quoted") {
			t.Errorf("%d, of a secret: %v", code, err)
		}
	}
}

// What asks the API travels to an agent like everything else.
func TestAPITravels(t *testing.T) {
	api := resource.API{Kubeconfig: "/x", Servers: []string{"10.0.0.1:6443"}, New: true}
	for _, r := range []resource.Resource{
		object(t, api, aConfigMap), resource.KubeObjects{API: api, Component: "dns", Keep: []string{"x"}}, resource.BootstrapToken{API: api},
		resource.Node{API: api, Name: "m1", Labels: map[string]string{"a": "b"}, Taints: []resource.NodeTaint{{Key: "a", Effect: "NoSchedule"}}},
		resource.Drain{API: api, Node: "m1", Timeout: time.Minute}, resource.Cordon{API: api, Node: "m1", Cordoned: true}, resource.NodeAbsent{API: api, Name: "m1"},
	} {
		e, err := resource.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := resource.Decode(e); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%#v arrives as %#v, %v", r, got, err)
		}
	}
	for _, p := range []resource.Probe{
		resource.NodeReady{API: api, Name: "m1"}, resource.Rollout{API: api, Kind: "Deployment", Namespace: "a", Name: "b"},
		resource.HTTPAnswers{Name: "etcd", URL: "https://x", CA: "/ca"}, resource.StaticPodRuns{Name: "etcd", Digest: "d", Socket: "unix:///s"}, resource.RuntimeAnswers{Name: "r", Socket: "unix:///s"},
	} {
		e, err := resource.EncodeProbe(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := resource.DecodeProbe(e); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%#v arrives as %#v, %v", p, got, err)
		}
	}
}

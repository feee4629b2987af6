package resource_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestBootstrapToken(t *testing.T) {
	a, env, api := withAPI(t)
	b := resource.BootstrapToken{API: api}
	if o, err := b.Observe(t.Context(), env); err != nil || o.State != resource.Absent {
		t.Fatalf("without anybody to ask for it: %v, %v", o, err)
	}
	env.Secret = func(_ context.Context, of resource.ID, name string) ([]byte, error) {
		if of != b.ID() || name != resource.BootstrapTokenSecret {
			t.Errorf("%s asks for %s", of, name)
		}
		return []byte("abcdef.0123456789abcdef"), nil
	}
	o, err := b.Observe(t.Context(), env)
	if err != nil || inWords(b.Diff(o)) != "present: absent → present (for an hour)" {
		t.Fatalf("%v, %v: %s", o, err, inWords(b.Diff(o)))
	}
	if err := b.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	settled(t, b, env)
	ref := kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "kube-system", Name: "bootstrap-token-abcdef"}
	s := a.Object(ref)
	data, _, _ := unstructured.NestedStringMap(s.Object, "data")
	for key, want := range map[string]string{
		"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
		"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
	} {
		if got, err := base64.StdEncoding.DecodeString(data[key]); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
	if s.Object["type"] != "bootstrap.kubernetes.io/token" {
		t.Errorf("it is of type %v", s.Object["type"])
	}
	got, _ := base64.StdEncoding.DecodeString(data["expiration"])
	until, err := time.Parse(time.RFC3339, string(got))
	if left := time.Until(until); err != nil || left < 59*time.Minute || left > time.Hour {
		t.Errorf("it is good for %v, %v", left, err)
	}
	// One that is nearly over is as good as none.
	for _, left := range []time.Duration{9 * time.Minute, 11 * time.Minute} {
		data["expiration"] = base64.StdEncoding.EncodeToString([]byte(time.Now().Add(left).UTC().Format(time.RFC3339)))
		if err := unstructured.SetNestedStringMap(s.Object, data, "data"); err != nil {
			t.Fatal(err)
		}
		b2, _ := s.MarshalJSON()
		a.Put(string(b2))
		if o, err := b.Observe(t.Context(), env); err != nil || (o.State == resource.Present) != (left > 10*time.Minute) {
			t.Errorf("with %v left it is %v, %v", left, o, err)
		}
	}
	env.Secret = func(context.Context, resource.ID, string) ([]byte, error) { return []byte("tiger"), nil }
	if err := b.Apply(t.Context(), env); err == nil || strings.Contains(err.Error(), "tiger") {
		t.Errorf("a token that is none: %v", err)
	}
}

func TestWhatIsNoBootstrapToken(t *testing.T) {
	_, env, api := withAPI(t)
	b := resource.BootstrapToken{API: api}
	for _, token := range []string{
		"", "abcdef", "abcdef.", ".0123456789abcdef", "abcde.0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef\n", "Abcdef.0123456789abcdef",
		"abc-ef.0123456789abcdef", "abcdef.01234567.9abcdef", "abcdef.0123456789abcdeä", "abcdef:0123456789abcdef",
	} {
		env.Secret = func(context.Context, resource.ID, string) ([]byte, error) { return []byte(token), nil }
		if o, err := b.Observe(t.Context(), env); err == nil || token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v, %v", token, o, err)
		}
	}
}

package resource_test

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestJoinToken(t *testing.T) {
	a, env, api := withAPI(t)
	made, err := resource.JoinToken{API: api, TTL: 2 * time.Hour}.Make(t.Context(), env)
	if err != nil || !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(made.Token) {
		t.Fatalf("%q, %v", made.Token, err)
	}
	id, secret, _ := strings.Cut(made.Token, ".")
	s := a.Object(kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "kube-system", Name: "bootstrap-token-" + id})
	if s == nil || s.Object["type"] != "bootstrap.kubernetes.io/token" {
		t.Fatalf("the API has %v", s)
	}
	data, _, _ := unstructured.NestedStringMap(s.Object, "data")
	for key, want := range map[string]string{
		"token-id": id, "token-secret": secret, "description": `Asked for by "kubewright join-command"`, "expiration": made.Until.Format(time.RFC3339), "usage-bootstrap-authentication": "true",
		"usage-bootstrap-signing": "true", "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
	} {
		if got, err := base64.StdEncoding.DecodeString(data[key]); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
	if left := time.Until(made.Until); left < 119*time.Minute || left > 2*time.Hour {
		t.Errorf("it is good for %v", left)
	}
	if other, err := (resource.JoinToken{API: api, TTL: time.Hour}).Make(t.Context(), env); err != nil || other.Token == made.Token {
		t.Errorf("another is %v, %v", other, err)
	}
	a.SetFailure(func(*http.Request) *kubefake.Failure {
		return &kubefake.Failure{Code: 422, Reason: metav1.StatusReasonInvalid, Message: "quoted"}
	})
	if made, err := (resource.JoinToken{API: api, TTL: time.Hour}).Make(t.Context(), env); err == nil || strings.Contains(err.Error(), "quoted") || made.Token != "" {
		t.Errorf("what the API does not take: %v, %v", made, err)
	}
}

package resource_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

// decides has a controller answer each request that is approved with a status.
func decides(a *kubefake.API, status string) {
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if dir, last := path.Split(r.URL.Path); r.Method == http.MethodPatch && last == "approval" {
			go a.Put(`{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: ` + path.Base(dir) + `}, status: ` + status + `}`)
		}
		return nil
	})
}

func TestUserCertificate(t *testing.T) {
	a, env, api := withAPI(t)
	u := resource.UserCertificate{API: api, Request: []byte("the request"), TTL: time.Hour}
	decides(a, `{certificate: `+base64.StdEncoding.EncodeToString([]byte("the certificate"))+`}`)
	certificate, err := u.Issue(t.Context(), env)
	if err != nil || string(certificate) != "the certificate" {
		t.Fatalf("it is %q, %v", certificate, err)
	}
	asked := a.Requests()
	if len(asked) < 3 || !strings.HasPrefix(asked[0], "PATCH /apis/certificates.k8s.io/v1/certificatesigningrequests/kubewright-user-") || !strings.Contains(asked[1], "/approval?") {
		t.Errorf("it asks\n%s", strings.Join(asked, "\n"))
	}
	if strings.HasPrefix(asked[len(asked)-1], http.MethodDelete) {
		t.Error("the request does not stay for people to see")
	}
}

// What comes to nothing leaves no request that somebody could sign later.
func TestUserCertificateThatIsNotSigned(t *testing.T) {
	a, env, api := withAPI(t)
	u := resource.UserCertificate{API: api, Request: []byte("the request"), TTL: time.Hour}
	decides(a, `{conditions: [{type: Failed, status: "True", reason: SignerValidationFailure, message: refused}]}`)
	if _, err := u.Issue(t.Context(), env); err == nil || !strings.Contains(err.Error(), "SignerValidationFailure: refused") {
		t.Errorf("it says %v", err)
	}
	asked := a.Requests()
	if last := asked[len(asked)-1]; !strings.HasPrefix(last, "DELETE /apis/certificates.k8s.io/v1/certificatesigningrequests/kubewright-user-") {
		t.Errorf("last it asks %s", last)
	}
	a.SetFailure(func(*http.Request) *kubefake.Failure {
		return &kubefake.Failure{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "system:masters group is not allowed"}
	})
	_, err := u.Issue(t.Context(), env)
	if _, passes := errors.AsType[resource.TransientError](err); err == nil || passes || !strings.Contains(err.Error(), "system:masters group is not allowed") {
		t.Errorf("it says %v", err)
	}
}

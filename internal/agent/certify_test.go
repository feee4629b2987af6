package agent_test

import (
	"encoding/base64"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

// A user's certificate is had by the machine's credentials, without its lock, and nothing on it changes.
func TestCertify(t *testing.T) {
	h := newHost(t)
	a := kubefake.New()
	t.Cleanup(a.Close)
	h.write(t, "/etc/kubernetes/admin.conf", string(a.Kubeconfig))
	before := h.State()
	a.SetFailure(func(r *http.Request) *kubefake.Failure {
		if dir, last := path.Split(r.URL.Path); last == "approval" {
			go a.Put(`{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: ` + path.Base(dir) + `},
				status: {certificate: ` + base64.StdEncoding.EncodeToString([]byte("signed")) + `}}`)
		}
		return nil
	})
	c, _ := h.connect(t)
	u := resource.UserCertificate{API: resource.API{Servers: []string{a.Address}}, Request: []byte("request"), TTL: time.Hour}
	if got, err := c.Certify(t.Context(), u); err != nil || string(got) != "signed" {
		t.Fatalf("it is %q, %v", got, err)
	}
	for name, state := range h.State() {
		if before[name] != state {
			t.Errorf("%s changed: %s", name, state)
		}
	}
	a.Close()
	u.API.Servers = []string{"127.0.0.1:1"}
	if _, err := c.Certify(t.Context(), u); err == nil {
		t.Error("it works without an API")
	}
}

// A token is made without the machine's lock, and left nowhere on it.
func TestJoin(t *testing.T) {
	h := newHost(t)
	a := kubefake.New()
	t.Cleanup(a.Close)
	h.write(t, "/etc/kubernetes/admin.conf", string(a.Kubeconfig))
	before := h.State()
	c, _ := h.connect(t)
	made, err := c.Join(t.Context(), resource.JoinToken{API: resource.API{Servers: []string{a.Address}}, TTL: time.Hour})
	id, _, _ := strings.Cut(made.Token, ".")
	if err != nil || a.Object(kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "kube-system", Name: "bootstrap-token-" + id}) == nil {
		t.Errorf("the API does not know the token: %v", err)
	}
	for name, state := range h.State() {
		if before[name] != state {
			t.Errorf("%s changed: %s", name, state)
		}
	}
}

// Reports are looked at all at once, without the machine's lock; one that fails does not hold up the others.
func TestLook(t *testing.T) {
	h := newHost(t)
	h.write(t, "/etc/kubernetes/pki/x.crt", "rubbish")
	before := h.State()
	c, _ := h.connect(t)
	nodes := resource.NodesReport{API: resource.API{Servers: []string{"127.0.0.1:1"}}}
	found, err := c.Look(t.Context(), []resource.Report{resource.CertificatesReport{}, nodes})
	if err != nil {
		t.Fatal(err)
	}
	var certificates []resource.CertificateFound
	if why := found.Get(resource.CertificatesReport{}.ID(), &certificates); why != "" || len(certificates) != 1 || certificates[0].Path != "/etc/kubernetes/pki/x.crt" {
		t.Errorf("it finds %+v, %s", certificates, why)
	}
	if why := found.Get(nodes.ID(), &[]resource.NodeFound{}); !strings.Contains(why, "credentials") {
		t.Errorf("without credentials, nodes are not known because %q", why)
	}
	for name, state := range h.State() {
		if before[name] != state {
			t.Errorf("%s changed: %s", name, state)
		}
	}
}

package resource_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestHTTPAnswers(t *testing.T) {
	status, said := 200, "ok"
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, said)
	}))
	defer s.Close()
	env := fake.New("m", nil).Env(nil)
	put := func(path, content string) {
		t.Helper()
		if err := env.Files.Write(path, resource.Attributes{Mode: 0o600}, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	p := resource.HTTPAnswers{Name: "etcd", URL: s.URL + "/readyz", CA: "/pki/ca.crt"}
	check := func(want string) {
		t.Helper()
		if why, err := p.Check(t.Context(), env); err != nil || (want == "") != (why == "") || !strings.Contains(why, want) {
			t.Errorf("it says %q, %v; want %q", why, err, want)
		}
	}
	check("etcd cannot be asked yet: ")
	put("/pki/ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	check("")
	status, said = 503, "[+]ping ok\n[-]serializable_read failed: no leader\n"
	check("etcd: serializable_read failed: no leader")
	said = ""
	check("etcd: 503 Service Unavailable")
	status = 200
	p.ServerName = "example.com" // of httptest's certificate
	check("")
	p.ServerName = "etcd.example.org"
	check("certificate is valid for")
	p.ServerName, p.Certificate = "", "/pki/client"
	check("etcd cannot be asked yet: ")
	put("/pki/client.crt", "x")
	put("/pki/client.key", "tiger")
	if why, err := p.Check(t.Context(), env); err == nil || strings.Contains(err.Error(), "tiger") {
		t.Errorf("with keys that are none it says %q, %v", why, err)
	}
	p.Certificate = ""
	s.Close()
	check("connection refused")
}

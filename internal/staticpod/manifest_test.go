package staticpod

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/internal/resource"
)

// A plan shows a manifest, but no secret that the user says in flags.
func TestManifestIsShownWithoutSecrets(t *testing.T) {
	flags := Command("kube-apiserver", map[string]string{"tls-private-key-file": "/etc/kubernetes/pki/apiserver.key"}, map[string]string{"oidc-client-secret": "tiger"})
	f, _, err := Manifest(Pod(corev1.Container{Name: "kube-apiserver", Command: flags}, nil, nil), "unix:///run/x.sock")
	if err != nil {
		t.Fatal(err)
	}
	if f.Mode != 0o600 || !strings.Contains(string(f.Content), "tiger") {
		t.Errorf("the manifest is %+v", f)
	}
	changes := f.Diff(resource.Observed{State: resource.Absent})
	if len(changes) != 1 {
		t.Fatalf("it comes as %+v", changes)
	}
	shown := strings.Join(changes[0].Lines, "\n")
	if !strings.Contains(shown, "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key") || !strings.Contains(shown, "--oidc-client-secret=(not shown)") {
		t.Errorf("it is shown as\n%s", shown)
	}
	if strings.Contains(fmt.Sprint(changes), "tiger") {
		t.Error("the secret is shown")
	}
}

package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// What the cluster file names is there, or all that is wrong with it is said.
func TestLoadFilesOfKubernetes(t *testing.T) {
	const policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"policy": policy, "other": "apiVersion: v1\nkind: ConfigMap\n", "ruleless": "apiVersion: audit.k8s.io/v1\nkind: Policy\n", "text": "a: [",
		"Corefile": ".:53 {\n}\n", "empty": " \n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		policy, corefile string
		says             []string
	}{
		{policy: "policy", corefile: "Corefile"},
		{},
		{policy: "other", corefile: "empty", says: []string{`audit.policy: other is a "ConfigMap" of "v1"; want a Policy of audit.k8s.io/v1`, "addons.coreDNS.corefile: empty is empty"}},
		{policy: "ruleless", says: []string{"audit.policy: ruleless has no rules"}},
		{policy: "text", says: []string{"audit.policy: text cannot be read"}},
		{policy: "none", corefile: "none", says: []string{"audit.policy: ", "addons.coreDNS.corefile: "}},
	} {
		spec := &v1alpha1.Cluster{Audit: v1alpha1.Audit{Policy: c.policy}, Addons: v1alpha1.Addons{CoreDNS: v1alpha1.CoreDNS{Corefile: c.corefile}}}
		got, err := Load(t.Context(), spec, dir)
		switch {
		case len(c.says) == 0 && err != nil:
			t.Errorf("%+v: %v", c, err)
		case len(c.says) == 0 && (c.policy != "" && string(got.AuditPolicy) != policy || c.policy == "" && got.AuditPolicy != nil || (c.corefile != "") != (len(got.Corefile) > 0)):
			t.Errorf("%+v: they are %q and %q", c, got.AuditPolicy, got.Corefile)
		}
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v; want %q", c, err, says)
			}
		}
	}
}

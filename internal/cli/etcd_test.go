package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/converge"
)

func TestEtcdRecoverWantsConsent(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	file := "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\nhosts: [{name: c1, address: 10.0.0.1, roles: [control-plane], ssh: {key: no-such-key}}]\n"
	if err := os.WriteFile("cluster.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", `required flag(s) "from"`},
		{"--from c1", "nobody is there to be asked: say --yes and --cluster NAME"},
		{"--from c1 --yes", "it wants both --yes and --cluster NAME"},
		{"--from c1 --cluster prod", "it wants both --yes and --cluster NAME"},
		{"--from c1 more", "unknown command"},
	} {
		_, err := said(append([]string{"etcd", "recover"}, strings.Fields(c.args)...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.args != "" && exitCode(err) != exitUsage {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}

func TestShowRecovery(t *testing.T) {
	for _, c := range []struct {
		r    converge.EtcdRecovery
		want string
	}{
		{converge.EtcdRecovery{Host: "cp1", Ends: []string{"cp2"}, Silent: []string{"cp3", "cp4"}}, `The data of the member of etcd on cp1 becomes the cluster's, and writes are lost that only other members had.
On cp2 etcd ends, and what it has is set aside, not deleted.
No answer from cp3, cp4: must not come back as before, for with what is there, that could be a second cluster. Install anew, or take out of the cluster file.
`},
		{converge.EtcdRecovery{Host: "cp1", Again: true}, "The member of etcd on cp1 is a cluster of itself already; this ends a recovery that was cut off.\n"},
	} {
		var out bytes.Buffer
		if err := showRecovery(&out, c.r); err != nil || out.String() != c.want {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
}

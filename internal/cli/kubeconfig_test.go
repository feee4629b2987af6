package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewright/kubewright/internal/pki"
)

func TestServerURL(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.11": "https://10.0.0.11:6443", "k8s.example.com": "https://k8s.example.com:6443", "k8s.example.com:443": "https://k8s.example.com:443",
		"fd00::11": "https://[fd00::11]:6443", "[fd00::11]:443": "https://[fd00::11]:443", "https://k8s.example.com/": "https://k8s.example.com",
		"https://rancher.example.com/k8s/a": "https://rancher.example.com/k8s/a", "http://k8s.example.com": "", "https://u:p@k8s.example.com": "", "a b": "", "https://": "",
	} {
		if got, err := serverURL(address, 6443); got != want || (err == nil) == (want == "") {
			t.Errorf("%s: %q, %v; want %q", address, got, err, want)
		}
	}
}

func TestKubeconfigUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--ttl 5m": "no less than 10m", "--group system:masters": "kubeadm:cluster-admins may do everything", "--user=": "needs a name", "--server http://x": "https://HOST:PORT",
		"-o x --merge": "merge out",
	} {
		root := newRoot(nil)
		root.SetArgs(append([]string{"kubeconfig", "there-is-none.yaml"}, strings.Fields(args)...))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func authority(t *testing.T) []byte {
	t.Helper()
	a, err := pki.NewAuthority("kubernetes", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a.Certificate
}

func TestMergeKubeconfig(t *testing.T) {
	dir := t.TempDir()
	const theirs = `apiVersion: v1
kind: Config
preferences: {}
current-context: other
clusters: [{name: other, cluster: {server: "https://other:6443"}}]
users: [{name: me, user: {token: abc}}]
contexts: [{name: other, context: {cluster: other, user: me, namespace: mine}}]
`
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "config")
	if err := os.WriteFile(real, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", link)
	c := &cobra.Command{}
	var out, said bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&said)
	k := kubeconfigFlags{merge: true, ttl: time.Hour}
	ca := authority(t)
	for _, server := range []string{"https://10.0.0.11:6443", "https://10.0.0.12:6443"} { // twice: the second time it is replaced
		if err := k.write(c, kubeconfig("prod", "jane", server, ca, []byte("c"), []byte("k"))); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := os.Lstat(link); err != nil || i.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", i, err)
	}
	if i, err := os.Stat(real); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("it has the mode %v, %v", i.Mode(), err)
	}
	got, err := clientcmd.LoadFromFile(real)
	if err != nil {
		t.Fatal(err)
	}
	if got.CurrentContext != "jane@prod" || got.Contexts["jane@prod"].Cluster != "prod" || got.Clusters["prod"].Server != "https://10.0.0.12:6443" || string(got.AuthInfos["jane@prod"].ClientKeyData) != "k" {
		t.Errorf("it became %+v", got)
	}
	if got.AuthInfos["me"].Token != "abc" || got.Clusters["other"].Server != "https://other:6443" || got.Contexts["other"].Namespace != "mine" {
		t.Errorf("what was there became %+v", got)
	}
	if out.Len() > 0 || !strings.Contains(said.String(), "kubectl get nodes") {
		t.Errorf("it says %q and %q", &out, &said)
	}
	// Another cluster of the same name stays, and so does what is no kubeconfig.
	if err := k.write(c, kubeconfig("prod", "jane", "https://x:6443", authority(t), nil, nil)); err == nil || !strings.Contains(err.Error(), "another cluster named prod already, at https://10.0.0.12:6443") {
		t.Errorf("over another cluster: %v", err)
	}
	if err := os.WriteFile(real, []byte("a: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.write(c, kubeconfig("prod", "jane", "https://x:6443", ca, nil, nil)); err == nil || !strings.Contains(err.Error(), "nothing is put into it") {
		t.Errorf("over what is no kubeconfig: %v", err)
	}
	// Where there is none, one is made.
	fresh := filepath.Join(dir, "home", ".kube", "config")
	t.Setenv("KUBECONFIG", fresh)
	if err := k.write(c, kubeconfig("prod", "jane", "https://x:6443", ca, nil, nil)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error(err)
	}
}

func TestKubeconfigToStandardOutput(t *testing.T) {
	c := &cobra.Command{}
	var out bytes.Buffer
	c.SetOut(&out)
	if err := (&kubeconfigFlags{}).write(c, kubeconfig("prod", "jane", "https://x:6443", authority(t), []byte("c"), []byte("k"))); err != nil {
		t.Fatal(err)
	}
	got, err := clientcmd.Load(out.Bytes())
	if err != nil || got.CurrentContext != "jane@prod" {
		t.Errorf("it is %+v, %v", got, err)
	}
}

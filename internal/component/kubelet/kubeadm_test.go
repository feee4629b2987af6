package kubelet

import (
	"os"
	"path"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod/staticpodtest"
)

// Kubelets are told what kubeadm tells them (internal/staticpod/staticpodtest/kubeadm.sh), but for these.
func TestLikeKubeadm(t *testing.T) {
	const dir = "testdata/kubeadm-1.37/"
	steps, _ := Steps(input(load(t, hosts, ""), "a", map[string]facts.Host{"cp1": server}))
	read := func(name string) string {
		b, err := os.ReadFile(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	compared := 0
	for _, r := range steps[1].Resources {
		switch r := r.(type) {
		case resource.KubeletIdentity:
			compared++
			staticpodtest.LikeKubeadmsCertificate(t, dir+"kubelet.crt", r.Request, nil)
			if theirs := strings.TrimSpace(read("kubelet.server")); r.Server != theirs {
				t.Errorf("the server is %s; kubeadm has %s", r.Server, theirs)
			}
		case resource.File:
			switch ours := string(r.Content); path.Base(r.Path) {
			case "config.yaml":
				compared++
				staticpodtest.Differences(t, said(t, read("config.yaml")), said(t, ours), map[string]string{
					"maxPods":            "the default, said since the cluster file says it",
					"serverTLSBootstrap": "kubeadm has kubelets serve by certificates of their own making, which nobody can verify",
				})
			case "instance-config.yaml":
				compared++
				if theirs := read("instance-config.yaml"); theirs != ours {
					t.Errorf("it is %q; kubeadm has %q", ours, theirs)
				}
			case "kubeadm-flags.env":
				compared++
				// kubeadm init asks the API for the taint afterwards, and kubeadm join has the flag. The machine where it wrote this is not called cp1.
				without := strings.Replace(ours, " --register-with-taints=node-role.kubernetes.io/control-plane:NoSchedule", "", 1)
				theirs := strings.Replace(read("kubeadm-flags.env"), "--hostname-override=cp1 ", "", 1)
				if theirs != without || without == ours {
					t.Errorf("it is %q; kubeadm has %q", ours, theirs)
				}
			}
		}
	}
	if compared != 4 {
		t.Errorf("compared %d files; want 4", compared)
	}
}

// said are the fields of a configuration that say something: kubeadm writes many as zero, which is the default.
func said(t *testing.T, config string) map[string]string {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(config), &fields); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	staticpodtest.Flatten(values, "", fields)
	for name, value := range values {
		if value == `"0s"` || value == "0" || value == `"0"` || value == `""` || value == "null" {
			delete(values, name)
		}
	}
	return values
}

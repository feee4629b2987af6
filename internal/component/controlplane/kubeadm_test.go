package controlplane

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod/staticpodtest"
)

const kubeadms = "testdata/kubeadm-1.37/"

// Control planes are what kubeadm makes (internal/staticpod/staticpodtest/kubeadm.sh), but for these.
func TestLikeKubeadm(t *testing.T) {
	const which, mask = "says which manifest a Pod is of", "the default, said since the cluster file says it"
	const audit, encryption, anonymous = "kubeadm keeps no record", "kubeadm encrypts nothing", "kubeadm's API servers take anonymous requests for all paths"
	reasons := map[string]map[string]string{
		apiServer: {
			"annotation kubewright.dev/manifest": which,
			"--audit-policy-file":                audit, "--audit-log-path": audit, "--audit-log-maxage": audit, "--audit-log-maxbackup": audit, "--audit-log-maxsize": audit,
			"volume audit-policy": audit, "volume audit-logs": audit,
			"--encryption-provider-config": encryption, "volume encryption": encryption,
			"--authentication-config": anonymous, "volume authentication": anonymous,
			"--kubelet-certificate-authority": "kubelets of kubeadm's serve by certificates of their own making, which nobody can verify",
		},
		controllerManager: {"annotation kubewright.dev/manifest": which, "--node-cidr-mask-size": mask},
		scheduler:         {"annotation kubewright.dev/manifest": which},
	}
	s, _ := steps(t, load(t, hosts, ""), facts.Host{Packages: "apt"})
	compared := 0
	for _, r := range s[0].Resources {
		switch r := r.(type) {
		case resource.File:
			program, isManifest := strings.CutSuffix(path.Base(r.Path), ".yaml")
			if !isManifest || path.Base(path.Dir(r.Path)) != "manifests" {
				continue
			}
			theirs, err := os.ReadFile(kubeadms + program + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			compared++
			t.Run(program, func(t *testing.T) { staticpodtest.LikeKubeadm(t, theirs, r.Content, reasons[program]) })
		case resource.Certificate:
			compared++
			t.Run(path.Base(r.Path), func(t *testing.T) {
				staticpodtest.LikeKubeadmsCertificate(t, kubeadms+path.Base(r.Path)+".crt", r.Request, nil)
			})
		case resource.Kubeconfig:
			compared++
			name := strings.TrimSuffix(path.Base(r.Path), ".conf")
			t.Run(name+".conf", func(t *testing.T) {
				staticpodtest.LikeKubeadmsCertificate(t, kubeadms+name+".crt", r.Request, nil)
				server, err := os.ReadFile(kubeadms + name + ".server")
				if err != nil {
					t.Fatal(err)
				}
				if strings.TrimSpace(string(server)) != r.Server {
					t.Errorf("the server is %s; kubeadm has %s", r.Server, server)
				}
			})
		}
	}
	if compared != 11 {
		t.Errorf("compared %d files; want 11", compared)
	}
}

package etcd

import (
	"os"
	"path"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod/staticpodtest"
)

// Members are what kubeadm makes (internal/staticpod/staticpodtest/kubeadm.sh), but for these.
func TestLikeKubeadm(t *testing.T) {
	const dir = "testdata/kubeadm-1.37/"
	s, _ := steps(t, load(t, three, ""), map[string]facts.Host{"cp1": {}})
	compared := 0
	for _, r := range s[0].Resources {
		switch r := r.(type) {
		case resource.File:
			theirs, err := os.ReadFile(dir + path.Base(r.Path))
			if err != nil {
				t.Fatal(err)
			}
			compared++
			staticpodtest.LikeKubeadm(t, theirs, r.Content, map[string]string{
				"--initial-cluster":                  "kubeadm's first member is alone and others join it; these start at once",
				"--quota-backend-bytes":              "etcd's own 2 GiB are soon full, and a member that is full refuses all writes",
				"--auto-compaction-mode":             "goes with the retention",
				"--auto-compaction-retention":        "old revisions go even if no API server is there to see to it",
				"annotation kubewright.dev/manifest": "says which manifest a Pod is of",
			})
		case resource.Certificate:
			compared++
			staticpodtest.LikeKubeadmsCertificate(t, dir+path.Base(r.Path)+".crt", r.Request, nil)
		}
	}
	if compared != 4 {
		t.Errorf("compared %d files; want 4", compared)
	}
}

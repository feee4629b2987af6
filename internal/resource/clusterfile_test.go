package resource_test

import (
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestClusterFileReport(t *testing.T) {
	env := fake.New("c1", new(fake.Contents)).Env(nil)
	if got, err := (resource.ClusterFileReport{}).Look(t.Context(), env); err != nil || len(got.(resource.ClusterFileFound).Content) > 0 {
		t.Errorf("of a machine that remembers none: %v, %v", got, err)
	}
	lay(t, env, resource.ClusterFilePath, "# ours\n")
	if got, err := (resource.ClusterFileReport{}).Look(t.Context(), env); err != nil || string(got.(resource.ClusterFileFound).Content) != "# ours\n" {
		t.Errorf("%v, %v", got, err)
	}
}

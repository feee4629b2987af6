package resource_test

import (
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
)

// What is the cluster's, and what only ended or was started, leaves a machine nothing to put back.
func TestRemembered(t *testing.T) {
	for _, c := range []struct {
		of   resource.Resource
		want bool
	}{
		{resource.Sysctl{}, true}, {resource.File{}, true}, {resource.UnitStopped{}, false}, {resource.SetAside{}, false}, {resource.StaticPodsGone{}, false},
		{resource.StaticPodStarted{}, false}, {resource.Cordon{}, false}, {resource.KubeObject{}, false},
	} {
		if resource.Remembered(c.of) != c.want {
			t.Errorf("%T is remembered: %t", c.of, !c.want)
		}
	}
}

package converge

import "testing"

// A cluster of Kubewright's is what kubeadm makes of the same, but for what stands in the table, each with its reason.
func TestLikeKubeadm(t *testing.T) {
	for _, wrong := range unexplained(leftByKubeadm(t), leftByKubewright(t), deliberate()) {
		t.Error(wrong)
	}
}

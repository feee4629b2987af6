// Package staticpod writes the manifests of what a control plane is made of, as kubeadm 1.37 writes them (cmd/kubeadm/app/util/staticpod and util/arguments.go). It is
// pure, and knows nothing of what the programs are.
package staticpod

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Dir is where the kubelet looks for manifests.
const Dir = "/etc/kubernetes/manifests"

// systemNodeCritical is the priority of the class of that name. A static Pod has to say it, since nobody admits it.
const systemNodeCritical = 2000001000

// Pod is one with a container, on the host's own network (ComponentPod in kubeadm).
func Pod(c corev1.Container, mounts []Mount, annotations map[string]string) corev1.Pod {
	c.ImagePullPolicy = corev1.PullIfNotPresent
	var volumes []corev1.Volume
	c.VolumeMounts, volumes = split(mounts)
	return corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: c.Name, Namespace: metav1.NamespaceSystem,
			Labels:      map[string]string{"component": c.Name, "tier": "control-plane"},
			Annotations: annotations,
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{c}, Volumes: volumes,
			Priority: new(int32(systemNodeCritical)), PriorityClassName: "system-node-critical",
			HostNetwork:     true,
			SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		},
	}
}

// Requests are what a container is given at least: {"cpu": "100m"}.
func Requests(of map[corev1.ResourceName]string) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	for name, quantity := range of {
		list[name] = resource.MustParse(quantity)
	}
	return corev1.ResourceRequirements{Requests: list}
}

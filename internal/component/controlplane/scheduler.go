package controlplane

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// schedulerPod is a scheduler as kubeadm 1.37 runs it (GetStaticPodSpecs).
func schedulerPod(c *cluster.Cluster, image string) corev1.Pod {
	const port = 10259
	const conf = kubernetesDir + "/" + schedulerConf
	extra := c.Scheduler.ExtraArgs
	asked := bound(extra)
	return staticpod.Pod(corev1.Container{
		Name: scheduler, Image: image,
		Command: staticpod.Command(scheduler, map[string]string{
			"bind-address": loopback, "leader-elect": "true",
			"kubeconfig": conf, "authentication-kubeconfig": conf, "authorization-kubeconfig": conf,
		}, extra),
		Resources:      staticpod.Requests(map[corev1.ResourceName]string{corev1.ResourceCPU: "100m"}),
		LivenessProbe:  asked.Liveness("/livez"),
		ReadinessProbe: asked.Readiness("/readyz"),
		StartupProbe:   asked.Startup("/livez"),
		Ports:          staticpod.Port(port),
	}, []staticpod.Mount{kubeconfig(schedulerConf)}, nil)
}

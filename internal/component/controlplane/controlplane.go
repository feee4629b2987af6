// Package controlplane makes hosts control planes: API server, controller manager and scheduler as static Pods, with their certificates and kubeconfigs, as kubeadm has
// them. It decides by the model and the bundle, does nothing itself, and knows nothing of etcd but where its members answer.
package controlplane

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// Step is the name of the step on each control plane.
const Step = "control plane"

// kubernetesDir is where a machine has what is Kubernetes', as kubeadm has it.
const kubernetesDir = "/etc/kubernetes"

// The programs, which are Pods, containers and images of the same names.
const (
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
)

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be. Each host that answered has its InternalAddresses.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// RuntimeEndpoint is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	RuntimeEndpoint string
	// Stopped is what has to have ended on a host before its API server starts: what has its port; may be nil.
	Stopped func(host string) []resource.Resource
	// After is what a control plane waits for: its host's kubelet, images, authorities and shared files, and etcd; may be nil.
	After func(host string) []plan.Condition
}

// Steps are a step for each control plane that answered, and what stands in their way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	images, problems := images(in.Bundle)
	if len(problems) > 0 {
		return nil, problems
	}
	var steps []plan.Step
	for _, h := range in.Cluster.With(v1alpha1.ControlPlane) {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		s, err := controlPlane(in.Cluster, h, f, images, in.RuntimeEndpoint)
		if err != nil {
			problems = append(problems, plan.Problem{Host: h.Name, Blocks: true, Message: err.Error()})
			continue
		}
		if in.Stopped != nil {
			s.Resources = append(in.Stopped(h.Name), s.Resources...)
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		steps = append(steps, s)
	}
	return steps, problems
}

// images are those of the programs, by their names.
func images(b *bundle.Bundle) (map[string]bundle.Part, []plan.Problem) {
	list := map[string]bundle.Part{}
	var problems []plan.Problem
	for _, name := range []string{apiServer, controllerManager, scheduler} {
		image, found := b.Image(name)
		if !found {
			problems = append(problems, plan.Problem{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no image %s", b.Kubernetes, name),
				Remedy: "Build it again with \"kubewright bundle build\""})
		}
		list[name] = image
	}
	return list, problems
}

// controlPlane is the step of one host.
func controlPlane(c *cluster.Cluster, h v1alpha1.Host, f facts.Host, images map[string]bundle.Part, socket string) (plan.Step, error) {
	s := plan.Step{StepID: plan.StepID{Host: h.Name, Name: Step}, Group: cluster.GroupOf(h)}
	s.Resources = append(certificates(c, h), kubeconfigs(c, h)...)
	settings := append(auditFiles(c), authenticationFiles(c)...)
	for _, file := range settings {
		s.Resources = append(s.Resources, file)
	}
	if !c.Audit.Disabled {
		s.Resources = append(s.Resources, resource.Directory{Path: auditDir, Mode: 0o700, Purge: true})
	}
	// These two read their certificates only when they start; API servers read theirs anew.
	s.Resources = append(s.Resources, restart(controllerManager, controllerManagerConf, socket), restart(scheduler, schedulerConf, socket))
	pods := []corev1.Pod{
		apiServerPod(c, h, f, images[apiServer].Name),
		controllerManagerPod(c, f, images[controllerManager].Name),
		schedulerPod(c, images[scheduler].Name),
	}
	for _, pod := range pods {
		reads := []string{images[pod.Name].Digest} // an image of the same name with other content is another Pod
		if pod.Name == apiServer {
			for _, file := range settings {
				// It is read at the start, and a file that is mounted alone stays what it was in a container when another takes its place.
				reads = append(reads, file.Digest)
			}
			if c.Etcd.External.Wanted() { // its certificate and key it reads with each connection
				reads = append(reads, resource.DigestOf(c.EtcdAccess.Authority))
			}
		}
		manifest, runs, err := staticpod.Manifest(pod, socket, reads...)
		if err != nil {
			return plan.Step{}, err
		}
		s.Resources, s.Ensures = append(s.Resources, manifest), append(s.Ensures, runs)
	}
	// The other two are asked by the kubelet alone: their certificates are of their own making.
	s.Ensures = append(s.Ensures, resource.HTTPAnswers{Name: apiServer, URL: localURL(c, h) + c.Health("/readyz"), CA: resource.PKIDir + "/ca.crt"})
	return s, nil
}

// restart has a program started anew when its kubeconfig changes.
func restart(program, conf, socket string) resource.Resource {
	return resource.PodRestart{Name: program, Socket: socket, Manifest: path.Join(staticpod.Dir, program+".yaml"), RestartOn: []resource.ID{resource.Kubeconfig{Path: kubernetesDir + "/" + conf}.ID()}}
}

// localURL is the API server of a control plane itself.
func localURL(c *cluster.Cluster, h v1alpha1.Host) string { return "https://" + c.APIServer(h) }

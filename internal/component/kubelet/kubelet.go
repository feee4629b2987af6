// Package kubelet makes hosts nodes, or has them carry static Pods without being nodes: Kubernetes' programs, the kubelet with its settings as kubeadm has them, and the credentials that it begins
// with. It decides by the model, the bundle and what machines are, and does nothing itself. Which container runtime there is, is for others to know.
package kubelet

import (
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// Programs and Step are the names of the steps on each host.
const (
	Programs = "kubernetes programs"
	Step     = "kubelet"
)

const (
	// dir is where the kubelet has what it needs, and what Pods have.
	dir = "/var/lib/kubelet"
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
	// RuntimeUnit is its unit: "containerd.service".
	RuntimeUnit string
	// Content is the directory in which the container runtime keeps what images consist of, by digest, as they travel.
	Content string
	// AfterPrograms is what the programs wait for: the images, with which most of it comes; may be nil.
	AfterPrograms func(host string) []plan.Condition
	// After is what the kubelet waits for besides its program: the container runtime and the cluster's authority, and on workers an API server with what lets kubelets join; may be nil.
	After func(host string) []plan.Condition
}

// Steps are two steps for each host with a kubelet that answered, and what stands in their way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	const name = "kubernetes"
	blob, found := in.Bundle.Program(name)
	if !found {
		return nil, []plan.Problem{{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no program %s", in.Bundle.Kubernetes, name),
			Remedy: "Build it again with \"kubewright bundle build\""}}
	}
	program := resource.Program{Name: name, Path: bundle.ProgramPath(name), Blob: blob.Digest.String(), Size: blob.Size, Near: in.Content, Commands: blob.Commands}
	var steps []plan.Step
	var problems []plan.Problem
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered || !in.Cluster.HasKubelet(h) {
			continue
		}
		// A kubelet that runs goes on with the one that it was started from.
		first := plan.Step{StepID: plan.StepID{Host: h.Name, Name: Programs}, Resources: []resource.Resource{program}}
		if in.AfterPrograms != nil {
			first.Requires = in.AfterPrograms(h.Name)
		}
		config, err := configuration(in, h, f)
		if err != nil {
			problems = append(problems, plan.Problem{Host: h.Name, Blocks: true, Message: err.Error(), Remedy: "Correct kubelet.config in the cluster file"})
			continue
		}
		s := plan.Step{
			StepID: plan.StepID{Host: h.Name, Name: Step}, Group: cluster.GroupOf(h),
			Resources: resources(in, h, f, program, config),
			Requires:  []plan.Condition{plan.After(first.StepID)},
			Ensures: []resource.Probe{
				resource.UnitActive{Name: unit},
				resource.HTTPAnswers{Name: "kubelet", URL: "http://127.0.0.1:10248/healthz"},
			},
		}
		if in.After != nil {
			s.Requires = append(s.Requires, in.After(h.Name)...)
		}
		steps = append(steps, first, s)
	}
	return steps, problems
}

// resources are what a kubelet is on a host.
func resources(in Input, h v1alpha1.Host, f facts.Host, program resource.Program, config string) []resource.Resource {
	files := []resource.File{
		resource.NewFile(dir+"/config.yaml", config),
		resource.NewFile(dir+"/kubeadm-flags.env", environment(in.Cluster, h, f)),
		resource.NewFile("/etc/systemd/system/"+unit, service(in.RuntimeUnit)),
		resource.NewFile("/etc/systemd/system/"+unit+".d/10-kubeadm.conf", dropIn(f, program, in.Cluster.Standalone(h))),
	}
	list := []resource.Resource{
		resource.Directory{Path: staticpod.Dir, Mode: 0o700}, // as kubeadm makes it
		resource.Directory{Path: dir, Mode: 0o700, Purge: true},
		resource.Directory{Path: "/var/log/pods", Mode: 0o750, Purge: true}, // as the kubelet makes them
		resource.Directory{Path: "/var/log/containers", Purge: true},
		resource.Directory{Path: "/usr/libexec/kubernetes/kubelet-plugins/volume/exec", Purge: true}, // for volume plugins, as the kubelet and kubeadm have it
		resource.Directory{Path: "/lib/modules"},                                                     // Pods that load modules mount it; without a kernel of its own a machine has none
		// "kubeadm upgrade" asks it for the runtime (GetNodeRegistration in cmd/kubeadm/app/util/config/cluster.go).
		resource.NewFile(dir+"/instance-config.yaml", fmt.Sprintf("containerRuntimeEndpoint: %q\n", in.RuntimeEndpoint)),
	}
	var restart []resource.ID
	for _, file := range files {
		list, restart = append(list, file), append(restart, file.ID())
	}
	credentials, joined := credentials(in.Cluster, h)
	if credentials != nil {
		list, restart = append(list, credentials), append(restart, credentials.ID())
	}
	list = append(list, resource.Unit{Name: unit, Active: true, Enabled: true, RestartOn: restart})
	if joined != nil {
		list = append(list, joined)
	}
	return list
}

// credentials are what the kubelet of a host begins with, and that it has been let in; neither where it stands alone.
func credentials(c *cluster.Cluster, h v1alpha1.Host) (credentials, joined resource.Resource) {
	server := c.EndpointURL()
	if slices.Contains(h.Roles, v1alpha1.ControlPlane) {
		server = "https://" + c.APIServer(h) // as kubeadm has it, it asks the API server beside it, which is never older than it is
	}
	switch {
	case c.Standalone(h):
		return nil, nil
	case c.Carries(h):
		// The API lets nobody in before static Pods run.
		return resource.KubeletIdentity{Cluster: c.Name, Server: server, Request: pki.Request{
			Authority: pki.Kubernetes, CommonName: "system:node:" + h.Name, Organizations: []string{"system:nodes"}, Client: true,
			Algorithm: pki.Algorithm(c.Certificates.Algorithm), Validity: c.CertificateValidity(),
		}}, nil
	}
	return resource.KubeletBootstrap{Cluster: c.Name, Server: server, Node: h.Name}, resource.KubeletJoined{Node: h.Name}
}

// Package authority puts authorities and what else control planes share where it belongs: keys on control planes alone, the certificate that the API is known by on
// every host with a kubelet, and where balancers ask API servers, and that of etcd on its members. It decides who has what; which keys there are is told to it, and what they are it never knows.
package authority

import (
	"maps"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step on each host.
const Step = "authorities"

// Input is what steps are made of.
type Input struct {
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Certificates of authorities by name, in PEM form; one that is not known is left alone.
	Certificates map[string]string
	// Shared are digests of files that control planes share, by path.
	Shared map[string]string
	// After is what the step on a host waits for; may be nil.
	After func(host string) []plan.Condition
}

// Steps are a step for each host that answered.
func Steps(in Input) []plan.Step {
	var steps []plan.Step
	for _, h := range in.Cluster.Hosts {
		if _, answered := in.Hosts[h.Name]; !answered || !in.Cluster.HasKubelet(h) && !in.Cluster.Balancer(h) {
			continue
		}
		s := plan.Step{StepID: plan.StepID{Host: h.Name, Name: Step}}
		// It is the first that puts something there; kubelets put credentials there, too, and all of it goes with the cluster.
		s.Resources = []resource.Resource{resource.Directory{Path: "/etc/kubernetes", Purge: true}}
		if slices.Contains(h.Roles, v1alpha1.ControlPlane) {
			s.Resources = append(s.Resources, controlPlane(in)...)
		} else {
			s.Resources = append(s.Resources, known(in, h)...)
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		steps = append(steps, s)
	}
	return steps
}

// Placed is that all control planes that answered have what they share: only then is anything signed by it.
func Placed(in Input) plan.Condition {
	c := plan.Condition{Name: "the authorities lie on all control planes that answer"}
	for _, h := range in.Cluster.With(v1alpha1.ControlPlane) {
		if _, answered := in.Hosts[h.Name]; answered {
			c.Of = append(c.Of, plan.StepID{Host: h.Name, Name: Step})
		}
	}
	return c
}

// known are the certificates of the authorities that a host which is no control plane knows others by: that of the API, and on members of etcd that of etcd.
func known(in Input, h v1alpha1.Host) []resource.Resource {
	names := []string{pki.Kubernetes}
	if in.Cluster.HasAnyMember(h) {
		names = append(names, pki.Etcd)
	}
	var list []resource.Resource
	for _, name := range names {
		if c := in.Certificates[name]; c != "" {
			list = append(list, resource.Authority{Name: name, Certificate: c})
		}
	}
	return list
}

func controlPlane(in Input) []resource.Resource {
	var list []resource.Resource
	for _, name := range pki.Authorities() {
		if c := in.Certificates[name]; c != "" {
			list = append(list, resource.Authority{Name: name, Certificate: c, Key: true})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(in.Shared)) {
		f := resource.SharedFile{Path: path, Secret: path, Digest: in.Shared[path]}
		if path == resource.ServiceAccountPublic {
			f.Mode = 0o644
		}
		list = append(list, f)
	}
	return list
}

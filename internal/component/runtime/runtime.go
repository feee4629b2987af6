// Package runtime gives hosts a container runtime and the images that their roles need. Which runtime is a seam: each is an engine in a file of its own. It
// decides by the model, the bundle and what machines are, and does nothing itself.
package runtime

import (
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step and Images are the names of the steps on each host.
const (
	Step   = "container runtime"
	Images = "images"
)

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// After is what the first step on a host waits for, the packages among it; may be nil.
	After func(host string) []plan.Condition
}

// engine is a container runtime.
type engine struct {
	// socket it listens to kubelets at.
	socket string
	// unit of systemd that it is.
	unit string
	// content is where it keeps layers, below its root.
	content func(root string) string
	// packages of the distribution that it needs on a host, by Debian's names.
	packages func(facts.Host) []string
	// programs of the bundle that make it up, in the order in which they come.
	programs []string
	// resources are what it is on a host, after its programs.
	resources func(in Input, f facts.Host, pause string) []resource.Resource
	// ensures is what has to be well then.
	ensures []resource.Probe
	// images are loaded into it.
	images func(in Input, images []resource.Image) resource.Resource
}

// engineOf is the engine that the cluster file names. It was checked to name one.
func engineOf(c *cluster.Cluster) engine {
	engines := map[string]func() engine{"containerd": containerd}
	return engines[c.Runtime.Name]()
}

// Packages are those that each host needs.
func Packages(in Input) func(host string) []string {
	carries := map[string]bool{}
	for _, h := range in.Cluster.Hosts {
		carries[h.Name] = needed(h)
	}
	return func(host string) []string {
		if !carries[host] {
			return nil
		}
		return engineOf(in.Cluster).packages(in.Hosts[host])
	}
}

// needed says whether anything runs in containers on a host: a balancer is a service of its own.
func needed(h v1alpha1.Host) bool {
	return slices.ContainsFunc(h.Roles, func(r v1alpha1.Role) bool { return r != v1alpha1.LoadBalancer })
}

// Steps are two steps for each host that answered and carries containers, and what stands in their way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	e := engineOf(in.Cluster)
	programs, pause, problems := parts(in.Bundle, e)
	if len(problems) > 0 {
		return nil, problems
	}
	var steps []plan.Step
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered || !needed(h) {
			continue
		}
		id := plan.StepID{Host: h.Name, Name: Step}
		s := plan.Step{
			StepID: id, Group: cluster.GroupOf(h),
			Resources: slices.Concat(programs, e.resources(in, f, pause)), Ensures: e.ensures,
		}
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		steps = append(steps, s, plan.Step{
			StepID:    plan.StepID{Host: h.Name, Name: Images},
			Resources: []resource.Resource{e.images(in, imagesOf(in.Bundle, in.Cluster, h))},
			Requires:  []plan.Condition{plan.After(id)},
		})
	}
	return steps, problems
}

// parts are the programs of an engine, and the image that holds a Pod's namespaces.
func parts(b *bundle.Bundle, e engine) (programs []resource.Resource, pause string, problems []plan.Problem) {
	lacks := func(what string) {
		problems = append(problems, plan.Problem{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no %s", b.Kubernetes, what),
			Remedy: "Build it again with \"kubewright bundle build\""})
	}
	for _, name := range e.programs {
		p, found := program(b, name)
		if !found {
			lacks("program " + name)
		}
		programs = append(programs, p)
	}
	image, found := b.Image("pause")
	if !found {
		lacks("image pause")
	}
	return programs, image.Name, problems
}

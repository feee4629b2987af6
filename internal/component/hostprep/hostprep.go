// Package hostprep makes a machine fit to carry a cluster: its name, what it knows of others, packages, swap, kernel modules and parameters, limits,
// SELinux, firewall, time zone, journal, and files of the user's. It decides by the model and by what machines are; it does nothing itself, and knows
// nothing of clocks, container runtimes and Kubernetes but which packages, ports and parameters they need.
package hostprep

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step is the name of the step on each host.
const Step = "host preparation"

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be. Each host that answered has its InternalAddresses, also where the cluster file leaves them to be found out.
	Cluster *cluster.Cluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// Packages are what other components need of a host's distribution: a machine has one resource of packages. May be nil.
	Packages func(host string) []string
	// Replace are packages of a host's that may have to go, by the needed one that takes their place. May be nil.
	Replace map[string][]string
	// TimeServers are hosts that serve time to others.
	TimeServers []v1alpha1.Host
	// After is what the step on a host waits for; may be nil.
	After func(host string) []plan.Condition
}

// Steps are a step for each host that answered, and what stands in its way.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	var steps []plan.Step
	problems := problems(in)
	controlPlanes := in.Cluster.With(v1alpha1.ControlPlane)
	open := openPorts(in)
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		s := plan.Step{StepID: plan.StepID{Host: h.Name, Name: Step}}
		for _, part := range [][]resource.Resource{
			name(in.Cluster, h, controlPlanes),
			packages(in, h.Name, f),
			swap(in.Cluster.HostPreparation),
			modules(in.Cluster.HostPreparation, f), // before the parameters that they bring
			sysctls(in.Cluster, h),
			limits(in.Cluster.HostPreparation, f), // after fs.nr_open, above which none can be set
			security(in.Cluster, h, f, open[h.Name]),
			timeZone(in.Cluster.HostPreparation, f),
			journal(in.Cluster.HostPreparation),
		} {
			s.Resources = append(s.Resources, part...)
		}
		files, wrong := files(in.Cluster, h, s.Resources)
		s.Resources = append(s.Resources, files...)
		problems = append(problems, wrong...)
		if in.After != nil {
			s.Requires = in.After(h.Name)
		}
		steps = append(steps, s)
	}
	return steps, problems
}

// name is what the host is called, and what it calls those that it has to find without a name server.
func name(c *cluster.Cluster, h v1alpha1.Host, known []v1alpha1.Host) []resource.Resource {
	var list []resource.Resource
	if *c.HostPreparation.Hostname {
		list = append(list, resource.Hostname{Name: h.Name})
	}
	return append(list, resource.Block{Path: "/etc/hosts", Name: "cluster", Text: etcHosts(c, h, known)})
}

// etcHosts are lines of /etc/hosts: the host itself, those that all have to know, control planes, and the endpoint. Never all hosts: one that comes or goes must not
// touch the others. The endpoint comes last, so that the name of a control plane's address is its own. On hosts that are led to others it is for their balancer to say, once there is a way.
func etcHosts(c *cluster.Cluster, h v1alpha1.Host, known []v1alpha1.Host) string {
	if !slices.ContainsFunc(known, func(k v1alpha1.Host) bool { return k.Name == h.Name }) {
		known = slices.Concat([]v1alpha1.Host{h}, known)
	}
	var text strings.Builder
	for _, k := range known {
		for _, a := range k.InternalAddresses {
			fmt.Fprintf(&text, "%s %s\n", a, k.Name)
		}
	}
	if !c.Led(h) {
		for _, a := range c.EndpointAddresses(h) {
			fmt.Fprintf(&text, "%s %s\n", a, c.Endpoint.Name)
		}
	}
	return text.String()
}

// swap is off, now and after restarts: the kubelet does not start with it, unless it is told how Pods may use it.
func swap(p v1alpha1.HostPreparation) []resource.Resource {
	if *p.Swap {
		return nil
	}
	return []resource.Resource{resource.FstabSwap{}, resource.Swap{}}
}

// timeZone is set if the cluster file names one. Debian's own programs read its name beside the link.
func timeZone(p v1alpha1.HostPreparation, f facts.Host) []resource.Resource {
	if p.TimeZone == "" {
		return nil
	}
	list := []resource.Resource{resource.Link{Path: "/etc/localtime", Target: "/usr/share/zoneinfo/" + p.TimeZone, MustExist: true}}
	if f.Packages == "apt" {
		list = append(list, resource.NewFile("/etc/timezone", p.TimeZone+"\n"))
	}
	return list
}

// journal is kept over restarts, so that what happened at night can be understood in the morning, and bounded. It is rotated by journald, logs of
// containers are by the kubelet; nothing that Kubewright installs writes logs of its own, so there is nothing for logrotate.
func journal(p v1alpha1.HostPreparation) []resource.Resource {
	const dir = "/var/log/journal"
	settings := resource.NewFile("/etc/systemd/journald.conf.d/90-kubewright.conf", header("hostPreparation.journalSize")+
		"[Journal]\nStorage=persistent\nSystemMaxUse="+p.JournalSize+"\n")
	return []resource.Resource{
		resource.Directory{Path: dir, Group: "systemd-journal", Purge: true},
		settings,
		resource.Unit{Name: "systemd-journald.service", Active: true, Enabled: true, RestartOn: []resource.ID{settings.ID()}},
	}
}

// header begins a file that belongs to Kubewright.
func header(field string) string {
	return "# Kubewright wrote this, and writes it again when it is changed here: change " + field + " in the cluster file.\n"
}

// files are the user's, for hosts with some roles. What Kubewright itself puts somewhere cannot be the user's.
func files(c *cluster.Cluster, h v1alpha1.Host, ours []resource.Resource) ([]resource.Resource, []plan.Problem) {
	taken := map[string]bool{}
	for _, r := range ours {
		taken[placeOf(r)] = true
	}
	var list []resource.Resource
	var wrong []plan.Problem
	for _, f := range c.Files {
		if len(f.Roles) > 0 && !slices.ContainsFunc(f.Roles, func(r v1alpha1.Role) bool { return slices.Contains(h.Roles, r) }) {
			continue
		}
		if taken[f.Path] {
			wrong = append(wrong, plan.Problem{Host: h.Name, Blocks: true, Message: "the cluster file puts " + f.Source + " at " + f.Path + ", which Kubewright writes itself",
				Remedy: "Take it out of files; hostPreparation says what can be set there"})
			continue
		}
		owner, group, _ := strings.Cut(f.Owner, ":")
		list = append(list, resource.File{
			Path: f.Path, Mode: f.Permissions(), Owner: owner, Group: group,
			Digest: resource.DigestOf(f.Content), Content: f.Content,
			Secret: f.Permissions()&0o004 == 0, // what not everybody there may read is nothing for plans
		})
	}
	return list, wrong
}

// placeOf is the path that a resource is about; empty if it is not about one.
func placeOf(r resource.Resource) string {
	switch r := r.(type) {
	case resource.File:
		return r.Path
	case resource.SysctlFile:
		return r.Path
	case resource.Block:
		return r.Path
	case resource.Link:
		return r.Path
	case resource.Directory:
		return r.Path
	case resource.Hostname:
		return "/etc/hostname"
	case resource.FstabSwap:
		return "/etc/fstab"
	case resource.SELinux:
		return "/etc/selinux/config"
	}
	return ""
}

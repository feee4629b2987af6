// Package etcd makes hosts members of etcd, as static Pods, beside API servers or on hosts of their own. It decides by the model, the bundle and what machines have, does nothing itself, and
// says when nothing may be made: there must never be a second cluster over one that lives.
package etcd

import (
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Step and Formed are the names of the steps on each host, of the main cluster; those of another begin with its name.
const (
	Step   = "etcd"
	Formed = "etcd formed"
)

// StepOf is the name of the step by which a host has a member.
func StepOf(e cluster.EtcdCluster) string { return e.Name }

// FormedOf is the name of the step by which a host remembers that all members were well.
func FormedOf(e cluster.EtcdCluster) string { return e.Name + " formed" }

// formedFile is where it does.
func formedFile(e cluster.EtcdCluster) string {
	if e.Events() {
		return facts.EventsFormedFile
	}
	return facts.FormedFile
}

// client is the certificate that members are asked with, where that is not kubeadm's.
func client(e cluster.EtcdCluster) string {
	if e.Events() {
		return resource.EventsClient
	}
	return ""
}

// file is a certificate of a member, by kubeadm's name of it, or that of another cluster's member beside it.
func file(e cluster.EtcdCluster, name string) string {
	if e.Events() {
		return pkiDir + "/events-" + name
	}
	return pkiDir + "/" + name
}

// pkiDir is where members have certificates.
const pkiDir = resource.PKIDir + "/etcd"

// Input is what steps are made of.
type Input struct {
	// Cluster is what shall be. Each host that answered has its InternalAddresses.
	Cluster *cluster.Cluster
	// Etcd is which of its clusters of etcd the steps are of.
	Etcd cluster.EtcdCluster
	// Hosts are those that answered, by name.
	Hosts map[string]facts.Host
	// Bundle is the node software.
	Bundle *bundle.Bundle
	// RuntimeEndpoint is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	RuntimeEndpoint string
	// Members is how those of a cluster that lives come and go.
	Members Membership
	// After is what a member waits for: its host's kubelet, images and authorities; may be nil.
	After func(host string) []plan.Condition
}

// Steps are a step for each member whose host answered, and one in which it and control planes without a member remember that all members were well once; and what stands in their way. Guard says when no
// step may be taken.
func Steps(in Input) ([]plan.Step, []plan.Problem) {
	image, found := in.Bundle.Image("etcd")
	if !found {
		return nil, []plan.Problem{{Blocks: true, Message: fmt.Sprintf("the bundle of Kubernetes %s has no image etcd", in.Bundle.Kubernetes),
			Remedy: "Build it again with \"kubewright bundle build\""}}
	}
	var members, formed []plan.Step
	var problems []plan.Problem
	var ids []plan.StepID
	for _, h := range in.Etcd.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		s, err := member(in, h, f, image)
		if err != nil {
			problems = append(problems, plan.Problem{Host: h.Name, Blocks: true, Message: err.Error(), Remedy: "Correct etcd in the cluster file"})
			continue
		}
		members, ids = append(members, s), append(ids, s.StepID)
	}
	// Control planes remember it, too, where members are on other hosts: all of these may get new disks.
	remember := in.Cluster.Keepers()
	if in.Etcd.Events() {
		remember = in.Etcd.Hosts
	}
	for _, h := range remember {
		if _, answered := in.Hosts[h.Name]; !answered || len(ids) == 0 {
			continue
		}
		formed = append(formed, plan.Step{
			StepID:    plan.StepID{Host: h.Name, Name: FormedOf(in.Etcd)},
			Resources: []resource.Resource{resource.NewFile(formedFile(in.Etcd), formedText)},
			Requires:  append([]plan.Condition{plan.After(ids...)}, in.Members.votes[h.Name]...),
		})
	}
	return append(members, formed...), problems
}

const formedText = `Kubewright wrote this when all members of the cluster's etcd had been well at once. While it is here, a member whose data is gone is not made
anew: with enough of them, that would be another, empty cluster.
`

// group is the one that members disturb together or not at all. Where control planes carry the main cluster it is theirs, since API servers ask the member beside them.
func group(c *cluster.Cluster, e cluster.EtcdCluster) string {
	switch {
	case e.Events():
		return cluster.EventsMembers
	case len(c.With(v1alpha1.Etcd)) > 0:
		return cluster.MainMembers
	}
	return cluster.ControlPlanes
}

// member is the step of one.
func member(in Input, h v1alpha1.Host, f facts.Host, image bundle.Part) (plan.Step, error) {
	own, err := flags(in.Cluster, in.Etcd, h, f.Kubernetes.EtcdOf(in.Etcd.Name), in.Members.initial[h.Name])
	if err != nil {
		return plan.Step{}, err
	}
	manifest, runs, err := manifest(pod(in.Cluster, in.Etcd, h, own, image.Name), in.RuntimeEndpoint, image)
	if err != nil {
		return plan.Step{}, err
	}
	s := plan.Step{
		StepID: plan.StepID{Host: h.Name, Name: StepOf(in.Etcd)}, Group: group(in.Cluster, in.Etcd),
		Resources: []resource.Resource{resource.Directory{Path: in.Etcd.DataDir, Mode: 0o700, Purge: true}},
		Ensures:   []resource.Probe{runs, answers(in.Etcd, h)},
	}
	if in.Members.learner[h.Name] {
		s.Ensures = []resource.Probe{runs} // it is not ready before it votes
	}
	s.Resources = append(s.Resources, certificates(in.Cluster, in.Etcd, h)...)
	if in.Members.learner[h.Name] && !f.Kubernetes.EtcdOf(in.Etcd.Name).Log {
		// What a member leaves that could not begin, or whose log is gone: a new one would take it for its own.
		s.Resources = append(s.Resources, resource.SetAside{Path: in.Etcd.DataDir + "/member", Unless: "wal"})
	}
	s.Resources = append(s.Resources, manifest) // last: the kubelet starts it at once
	if in.After != nil {
		s.Requires = in.After(h.Name)
	}
	s.Requires = append(s.Requires, in.Members.before[h.Name]...)
	return s, nil
}

// certificates are those of a member, as kubeadm has them (cmd/kubeadm/app/phases/certs/certlist.go, GetEtcdAltNames); etcd reads them anew with each
// connection.
func certificates(c *cluster.Cluster, e cluster.EtcdCluster, h v1alpha1.Host) []resource.Resource {
	request := func(r pki.Request) pki.Request {
		r.Authority, r.Client = pki.Etcd, true // etcd's gateway shows the server's certificate as a client
		r.Algorithm, r.Validity = pki.Algorithm(c.Certificates.Algorithm), c.CertificateValidity()
		return r
	}
	// kubeadm names the first of the node's addresses only; a host with two families is reached by both.
	member := request(pki.Request{CommonName: h.Name, DNSNames: []string{h.Name, "localhost"}, Addresses: addresses(h), Server: true})
	return []resource.Resource{
		resource.Certificate{Path: file(e, "server"), Request: member},
		resource.Certificate{Path: file(e, "peer"), Request: member},
		resource.Certificate{Path: file(e, "healthcheck-client"), Request: request(pki.Request{CommonName: "kube-etcd-healthcheck-client"})},
	}
}

// Report looks at the member on a host.
func Report(e cluster.EtcdCluster, h v1alpha1.Host) resource.EtcdReport {
	return resource.EtcdReport{URL: e.LocalURL(h), Client: client(e)}
}

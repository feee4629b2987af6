package etcd

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// Names of the steps that make a cluster of one member again whose others are lost.
const (
	// Ends, Alone and Settles begin with the name of a cluster of etcd: "etcd ends". Ends is that a member ends whose data does not count any more.
	Ends = " ends"
	// Alone is that the one that is left forgets the others.
	Alone = " alone"
	// Settles is that it runs as always again.
	Settles = " settles"
)

// forceNew has a member that is started with it remove all others from what it knows, and be a cluster of itself (bootstrapWALFromSnapshot in
// server/etcdserver/bootstrap.go of v3.7). One that always has it would do so again.
const forceNew = "force-new-cluster"

// RecoveryInput is what a recovery is made of.
type RecoveryInput struct {
	Input
	// Host is the one whose member's data is to be the cluster's.
	Host v1alpha1.Host
	// Others are hosts that answer and have a member, or the data of one.
	Others []string
}

// Recovery are the steps after which the member of a host is a cluster of itself, with its own data: those of the others end first, and their data is set aside.
func Recovery(in RecoveryInput) ([]plan.Step, error) {
	alone, err := in.runs(Alone, map[string]string{forceNew: "true"})
	if err != nil {
		return nil, err
	}
	steps := in.Ending()
	for _, s := range steps {
		alone.Requires = append(alone.Requires, plan.After(s.StepID))
	}
	return append(steps, alone), nil
}

// Ending are the steps by which the members of the others end, and what they have is set aside.
func (in RecoveryInput) Ending() []plan.Step {
	var steps []plan.Step
	for _, name := range in.Others {
		steps = append(steps, plan.Step{StepID: plan.StepID{Host: name, Name: in.Etcd.Name + Ends}, Resources: []resource.Resource{
			resource.StaticPodsGone{Names: []string{in.Etcd.Name}, Dir: staticpod.Dir, Socket: in.RuntimeEndpoint},
			resource.SetAside{Path: in.Etcd.DataDir + "/member"},
		}})
	}
	return steps
}

// Settling is the step after which the member runs as it always does.
func (in RecoveryInput) Settling() (plan.Step, error) { return in.runs(Settles, nil) }

// runs is the step of the member that is left, with flags besides its own.
func (in RecoveryInput) runs(name string, more map[string]string) (plan.Step, error) {
	image, found := in.Bundle.Image("etcd")
	if !found {
		return plan.Step{}, fmt.Errorf("the bundle of Kubernetes %s has no image etcd; build it again with \"kubewright bundle build\"", in.Bundle.Kubernetes)
	}
	own, err := flags(in.Cluster, in.Etcd, in.Host, in.Hosts[in.Host.Name].Kubernetes.EtcdOf(in.Etcd.Name), "")
	if err != nil {
		return plan.Step{}, err
	}
	maps.Copy(own, more)
	manifest, runs, err := manifest(pod(in.Cluster, in.Etcd, in.Host, own, image.Name), in.RuntimeEndpoint, image)
	if err != nil {
		return plan.Step{}, err
	}
	return plan.Step{
		StepID: plan.StepID{Host: in.Host.Name, Name: in.Etcd.Name + name}, Resources: []resource.Resource{manifest},
		Ensures: []resource.Probe{runs, answers(in.Etcd, in.Host)}, // it is ready only with a quorum, of one
	}, nil
}

// MayRecover says why the data of a host's member must not, or cannot, be made the cluster's. again says that it is a cluster of itself already, as a recovery leaves it that did not
// come to its end. Hosts are those that answered, by name: of the file, and those that left it.
func MayRecover(in Input, host string) (again bool, err error) {
	h := in.Cluster.Host(host)
	if h == nil || !in.Etcd.Carries(host) {
		return false, fmt.Errorf("the cluster file has no member of etcd on %s", host)
	}
	f, answered := in.Hosts[host]
	if !answered {
		return false, fmt.Errorf("%s does not answer; name a host that does, and has the data of a member", host)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Hosts)) {
		e := in.Hosts[name].Kubernetes.EtcdOf(in.Etcd.Name)
		switch {
		case !e.Quorum:
		case name == host && len(e.Members) == 1:
			again = true
		default:
			return false, fmt.Errorf("etcd has a quorum, says its member on %s: there is nothing to recover. \"kubewright status\" says what is wrong, and \"kubewright apply\" repairs it", name)
		}
	}
	e := f.Kubernetes.EtcdOf(in.Etcd.Name)
	has, image := e.DataDir, ""
	if i, found := in.Bundle.Image("etcd"); found {
		image = i.Name
	}
	is := f.Kubernetes.Manifests[in.Etcd.Name+".yaml"]
	switch {
	case has != "" && has != in.Etcd.DataDir:
		return false, fmt.Errorf("the member of %s has its data in %s, and the file says %s: say %s.dataDir: %s", host, has, in.Etcd.DataDir, in.Etcd.Field, has)
	case !e.Log:
		return false, fmt.Errorf("%s has no data of a member of etcd: there is no write-ahead log in %s. Name a host that has one, or restore a snapshot", host, in.Etcd.DataDir+"/member/wal")
	case e.Learner:
		return false, fmt.Errorf("the member of %s is a learner, and may lack much of what the others have: name a host whose member votes", host)
	case is != "" && is != image:
		return false, fmt.Errorf("%s runs %s, and the bundle of Kubernetes %s has %s: a recovery is no upgrade. Use the bundle that the cluster was made with (--kubernetes)", host, is, in.Bundle.Kubernetes, image)
	}
	return again, nil
}

// HasMember says whether there is something of a member on a host.
func HasMember(e cluster.EtcdCluster, f facts.Host) bool {
	return f.Kubernetes.EtcdOf(e.Name).Data || f.Kubernetes.Manifests[e.Name+".yaml"] != ""
}

package converge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	etcdcomponent "github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// externalTime is how long a control plane may take to find out how an etcd of the user's is. It asks all members at once.
const externalTime = 10 * time.Second

// external is what an etcd of the user's says, asked from all control planes that answer: each has its own way to it. Why some could not ask are problems.
func (s *Session) external(ctx context.Context, w Wish) (etcdcomponent.External, []plan.Problem, error) {
	x := externalOf(w)
	if !w.Cluster.Etcd.External.Wanted() {
		return x, nil, nil
	}
	x.Found = map[string]etcdcomponent.ExternalFound{}
	var mu sync.Mutex
	var failed []plan.Problem
	err := s.fleet.each(ctx, func(m *member) {
		name := m.host.Name
		h := w.Cluster.Host(name)
		if _, answered := w.Hosts[name]; !answered || h == nil || !slices.Contains(h.Roles, v1alpha1.ControlPlane) {
			return
		}
		limited, cancel := context.WithTimeout(ctx, externalTime)
		defer cancel()
		client, err := s.fleet.connected(limited, name)
		if err != nil {
			return // its own steps say so
		}
		file, machine := etcdcomponent.ExternalQuestions(w.Cluster, x.Hosts, name)
		reports := []resource.Report{file}
		if machine != nil {
			reports = append(reports, *machine)
		}
		said, err := client.Look(limited, reports)
		var found etcdcomponent.ExternalFound
		if err == nil {
			if why := said.Get(file.ID(), &found.File); why != "" {
				err = errors.New(why)
			}
			if machine != nil {
				_ = said.Get(machine.ID(), &found.Machine) // what it has itself may be damaged, and is made anew
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, plan.Problem{Host: name, Blocks: true, Message: "how your etcd is cannot be found out: " + err.Error(), Remedy: "Run it again; \"kubewright doctor\" looks further"})
			return
		}
		x.Found[name] = found
	})
	return x, failed, err
}

// externalOf is what hosts remember of an etcd of the user's.
func externalOf(w Wish) etcdcomponent.External {
	x := etcdcomponent.External{Cluster: w.Cluster, Hosts: everyHost(w)}
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		if _, answered := w.Hosts[h.Name]; !answered {
			x.Silent = append(x.Silent, h.Name)
		}
	}
	for _, l := range w.Leaving {
		if l.Host == nil && slices.Contains(l.Roles, string(v1alpha1.ControlPlane)) {
			x.Silent = append(x.Silent, l.Name)
		}
	}
	return x
}

// besideExternal says whether what a host has of etcd is none of the cluster's: that is the user's own, and a member of it may well run there.
func besideExternal(c *cluster.Cluster, f facts.Host) bool {
	return c.Etcd.External.Wanted() && f.Kubernetes.Manifests[facts.MainEtcd+".yaml"] == ""
}

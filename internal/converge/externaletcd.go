package converge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	etcdcomponent "github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// externalTime is how long a control plane may take to find out how an etcd of the user's is. It asks all members at once.
const externalTime = 10 * time.Second

// externalEtcd are what is wrong with an etcd of the user's, asked from all control planes that answer: each has its own way to it.
func (s *Session) externalEtcd(ctx context.Context, c *cluster.Cluster, hosts map[string]facts.Host) ([]plan.Problem, error) {
	if !c.Etcd.External.Wanted() {
		return nil, nil
	}
	question := etcdcomponent.ExternalQuestion(c, hosts)
	planes := map[string]bool{}
	for _, h := range c.With(v1alpha1.ControlPlane) {
		_, planes[h.Name] = hosts[h.Name]
	}
	var mu sync.Mutex
	found := map[string][]etcd.Server{}
	var failed []plan.Problem
	err := s.fleet.each(ctx, func(m *member) {
		name := m.host.Name
		if !planes[name] {
			return
		}
		limited, cancel := context.WithTimeout(ctx, externalTime)
		defer cancel()
		client, err := s.fleet.connected(limited, name)
		if err != nil {
			return // its own steps say so
		}
		said, err := client.Look(limited, []resource.Report{question})
		var servers []etcd.Server
		if err == nil {
			if why := said.Get(question.ID(), &servers); why != "" {
				err = errors.New(why)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, plan.Problem{Host: name, Blocks: true, Message: "how your etcd is cannot be found out: " + err.Error(), Remedy: "Run it again; \"kubewright doctor\" looks further"})
			return
		}
		found[name] = servers
	})
	if err != nil {
		return nil, err
	}
	return append(failed, etcdcomponent.ExternalProblems(c, hosts, found)...), nil
}

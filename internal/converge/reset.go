package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
)

// resetStep is the name of what a reset does, for events.
const resetStep = "reset"

// Known are the names of hosts that can be reset: those of the cluster file, and those that left it and are remembered.
func (s *Session) Known() []string {
	var names []string
	for _, h := range s.o.Cluster.Hosts {
		names = append(names, h.Name)
	}
	hosts, _ := s.Facts()
	all, _ := inventory(s.o.Cluster, hosts, nil)
	for _, h := range all.Hosts {
		if !slices.Contains(names, h.Name) {
			names = append(names, h.Name)
		}
	}
	return names
}

// Reset puts hosts back as they were found, several at once. It takes the locks. Hosts that left the cluster file are forgotten after it.
func (s *Session) Reset(ctx context.Context, names []string) error {
	if err := s.Lock(ctx); err != nil {
		return err
	}
	// Another run may have been at work between the first look and the lock.
	if err := s.fleet.look(ctx); err != nil {
		return err
	}
	hosts, _ := s.Facts()
	all, _ := inventory(s.o.Cluster, hosts, nil)
	var gone []string
	for _, name := range names {
		if s.fleet.members[name] != nil {
			continue
		}
		i := slices.IndexFunc(all.Hosts, func(h facts.InventoryHost) bool { return h.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no host %s, neither in the cluster file nor among those that left it", name)
		}
		h := all.Hosts[i]
		gone = append(gone, name)
		s.fleet.members[name] = newMember(v1alpha1.Host{Name: h.Name, Address: h.Address, SSH: v1alpha1.SSH{Port: h.Port, User: h.User, Bastion: h.Bastion, Key: h.Key}})
	}
	id, _ := identify(s.o.Cluster, hosts, "")
	s.fleet.event(event.Event{Kind: event.RoundStarted, Total: len(names)})
	var mu sync.Mutex
	var failed []error
	work := context.WithoutCancel(ctx) // what is in hand is finished
	err := s.fleet.each(ctx, func(m *member) {
		if !slices.Contains(names, m.host.Name) {
			return
		}
		if err := s.reset(work, m, id); err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
			s.fleet.event(event.Event{Kind: event.StepFailed, Host: m.host.Name, Step: resetStep, Error: err.Error()})
		}
	})
	for _, name := range gone {
		m := s.fleet.members[name]
		delete(s.fleet.members, name)
		if m.client != nil {
			m.client.Close()
		}
	}
	if err := errors.Join(append(failed, err)...); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	return s.forget(ctx, gone)
}

func (s *Session) reset(ctx context.Context, m *member, cluster string) error {
	start := time.Now()
	s.fleet.event(event.Event{Kind: event.StepStarted, Host: m.host.Name, Step: resetStep})
	h, err := s.fleet.work(ctx, m.host.Name)
	if err != nil {
		return err
	}
	if other := m.facts.Identity; other.Cluster != "" && cluster != "" && other.Cluster != cluster {
		return fmt.Errorf("%s belongs to another cluster, %s (%s), and is left as it is", m.host.Name, other.ClusterName, other.Cluster)
	}
	err = h.(*agent.Client).Reset(ctx, func(p agent.Progress) {
		if p.Phase == agent.Begin {
			s.fleet.event(event.Event{Kind: event.ResourceStarted, Host: m.host.Name, Step: resetStep, Resource: p.Resource.String()})
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", m.host.Name, err)
	}
	s.fleet.event(event.Event{Kind: event.StepDone, Host: m.host.Name, Step: resetStep, Elapsed: time.Since(start)})
	return nil
}

// forget takes hosts out of what control planes remember.
func (s *Session) forget(ctx context.Context, names []string) error {
	s.o.Forget = append(s.o.Forget, names...)
	p, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(c plan.StepChange) bool { return c.Name != inventoryStep })
	o := s.o.Run
	o.Host, o.Events, o.Interrupt = s.fleet.work, s.o.Events, ctx.Done()
	result, err := run.Run(context.WithoutCancel(ctx), p, o)
	if err != nil {
		return err
	}
	if len(result.Failed)+len(result.Skipped) > 0 {
		return &IncompleteError{p, result}
	}
	return nil
}

package converge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
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
	return append(names, slices.Sorted(maps.Keys(s.remembered()))...)
}

// remembered are the hosts that left the cluster file, by their names.
func (s *Session) remembered() map[string]facts.InventoryHost {
	hosts, _ := s.here()
	return notInFile(s.o.Cluster, hosts, nil)
}

// Reset puts hosts back as they were found, several at once: those first whose locks the run does not need. It takes the locks. Hosts that left the cluster file
// are forgotten after it. When the context ends, what is in hand on hosts is finished.
func (s *Session) Reset(ctx context.Context, names []string) error {
	return s.ended(ctx, s.resetAll(ctx, names))
}

// Forget takes hosts that left the cluster file out of what control planes remember, without reaching them. It takes the locks.
func (s *Session) Forget(ctx context.Context, names []string) error {
	return s.ended(ctx, func() error {
		if err := s.lockAndLook(ctx); err != nil {
			return err
		}
		left := s.remembered()
		for _, name := range names {
			if _, ok := left[name]; !ok {
				return fmt.Errorf("%s is not among the hosts that left the cluster file, so there is nothing to forget; take it out of the file first", name)
			}
		}
		return s.forget(ctx, names, nil)
	}())
}

// lockAndLook takes the locks and looks again: another run may have been at work between the first look and the lock.
func (s *Session) lockAndLook(ctx context.Context) error {
	err := s.Lock(ctx)
	if few, ok := errors.AsType[*run.FewLocksError](err); ok {
		return fmt.Errorf("%w\nBring hosts of those back, or take the ones that are gone for good out of the cluster file, and run it again", few)
	}
	if err != nil {
		return err
	}
	return s.fleet.look(ctx)
}

func (s *Session) resetAll(ctx context.Context, names []string) error {
	if err := s.lockAndLook(ctx); err != nil {
		return err
	}
	left := s.remembered()
	var gone []string
	leave := func() {
		for _, name := range gone {
			m := s.fleet.members[name]
			delete(s.fleet.members, name)
			if m != nil && m.client != nil {
				m.client.Close()
			}
		}
		gone = nil
	}
	defer leave()
	for _, name := range names {
		if s.o.Cluster.Host(name) != nil {
			continue
		}
		h, ok := left[name]
		if !ok {
			return fmt.Errorf("there is no host %s, neither in the cluster file nor among those that left it", name)
		}
		gone = append(gone, name)
		if s.fleet.members[name] == nil {
			s.fleet.members[name] = newMember(hostOf(h))
		}
	}
	// Those that left are connected to as well: whose hosts are is decided by what all of them say.
	if err := s.fleet.look(ctx); err != nil {
		return err
	}
	hosts, _ := s.Facts()
	r := resetting{Session: s, named: names, left: left, hosts: hosts}
	r.cluster, r.unclear = whose(s.o.Cluster, hosts, names)
	if err := needed(s.o.Cluster, hosts, names); err != nil {
		return err
	}

	keepers := map[string]bool{}
	for _, h := range s.o.Cluster.Keepers() {
		keepers[h.Name] = true
	}
	s.fleet.event(event.Event{Kind: event.RoundStarted, Total: len(names)})
	if s.o.Run.Waits != nil {
		s.o.Run.Waits(resetWaits(names, keepers))
	}
	// With what is on a keeper its lock may go, and another run could have most of them while this one still works.
	err := r.each(ctx, func(name string) bool { return !keepers[name] })
	if err == nil {
		err = r.each(ctx, func(name string) bool { return keepers[name] })
	}
	if err != nil {
		return err
	}
	free := slices.DeleteFunc(slices.Clone(gone), func(name string) bool { return !r.done[name] })
	leave()
	if len(free) > 0 {
		r.failed = append(r.failed, s.forget(ctx, free, names))
	}
	return errors.Join(r.failed...)
}

// resetWaits are what hosts wait for that are to be reset.
func resetWaits(names []string, keepers map[string]bool) []run.Wait {
	var list []run.Wait
	for _, name := range names {
		w := run.Wait{Step: plan.StepID{Host: name, Name: resetStep}, For: run.Turn, Why: fmt.Sprintf("%d hosts are reset at once", handshakes)}
		if keepers[name] {
			w.Why = "hosts whose locks the run needs are reset last"
		}
		list = append(list, w)
	}
	return list
}

// whose says of which cluster hosts may be reset. If that is not clear by those that hold it together, and not by what the named ones say either, it is none, and
// unclear says why.
func whose(c *cluster.Cluster, hosts map[string]facts.Host, names []string) (id, unclear string) {
	id, problems := identify(c, hosts, "")
	if id != "" {
		called, of, keepers := "", 0, c.Keepers()
		for _, h := range keepers {
			if i := hosts[h.Name].Identity; i.Cluster == id {
				called, of = i.ClusterName, of+1
			}
		}
		if called == c.Name || 2*of > len(keepers) {
			return id, ""
		}
		return "", fmt.Sprintf("only %d of %d control-plane and etcd hosts belong to it, and it is not called %s", of, len(keepers), c.Name)
	}
	unclear = "no control-plane or etcd host of the cluster file belongs to one"
	for _, p := range problems {
		if p.Host == "" {
			unclear = p.Message
		}
	}
	byID := map[string][]string{}
	for _, name := range names {
		if f := hosts[name]; f.Identity.Cluster != "" {
			byID[f.Identity.Cluster] = append(byID[f.Identity.Cluster], name)
		}
	}
	if len(byID) > 1 {
		return "", unclear + ", and the hosts named belong to different clusters"
	}
	for i, of := range byID {
		if f := hosts[of[0]]; f.Identity.ClusterName == c.Name {
			id = i
		}
	}
	return id, unclear
}

// needed says which of the hosts that are to be reset must not be, each by itself: they carry members of an etcd that is to go on, whose data gone would still count as one; or they are the last that
// have the keys of the cluster. All hosts of the file together may be: that is the end of the cluster.
func needed(c *cluster.Cluster, hosts map[string]facts.Host, names []string) error {
	all, formed := true, false
	for _, h := range c.Hosts {
		all = all && slices.Contains(names, h.Name)
		formed = formed || hosts[h.Name].Kubernetes.Formed
	}
	if all || !formed {
		return nil
	}
	for _, etcd := range []string{facts.MainEtcd, facts.EventsEtcd} {
		if err := neededOf(etcd, c, hosts, names); err != nil {
			return err
		}
	}
	return lastKeys(hosts, names)
}

// lastKeys refuses to reset all control planes that answer and have the keys of the cluster's authorities, while etcd goes on elsewhere: without them nobody reads what it holds encrypted, and nothing
// can be signed any more.
func lastKeys(hosts map[string]facts.Host, names []string) error {
	var last []string
	for name, f := range hosts {
		if !f.Kubernetes.Authorities[pki.Kubernetes].Key {
			continue
		}
		if !slices.Contains(names, name) {
			return nil
		}
		last = append(last, name)
	}
	if len(last) == 0 {
		return nil
	}
	slices.Sort(last)
	return fmt.Errorf("%s: no other host that answers has the keys of the cluster, without which nobody can read what etcd holds encrypted; nothing was reset. "+
		"Take it out of the cluster file and apply when another control plane is there; \"kubewright reset --all\" ends the cluster", strings.Join(last, ", "))
}

// neededOf is needed for members of one cluster of etcd.
func neededOf(etcd string, c *cluster.Cluster, hosts map[string]facts.Host, names []string) error {
	var stay, leave []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		f, answered := hosts[name]
		member, known := isMember(etcd, hosts, name)
		switch {
		case !answered || !f.Kubernetes.EtcdOf(etcd).Log || known && !member || besideExternal(c, f):
		case c.Host(name) != nil:
			stay = append(stay, name)
		case member:
			leave = append(leave, name)
		}
	}
	const why = "carries a member of %s, which would still count as one without its data; nothing was reset. "
	switch {
	case len(stay) > 0:
		return fmt.Errorf("%s: "+why+"To have it leave in order, take it out of the cluster file and apply; \"kubewright reset --all\" ends the cluster", strings.Join(stay, ", "), etcd)
	case len(leave) > 0:
		return fmt.Errorf("%s: "+why+"It left the cluster file: \"kubewright apply\" has it leave in order, and puts it back as it was found", strings.Join(leave, ", "), etcd)
	}
	return nil
}

// isMember says whether the member of a host is one of those that another knows who has a quorum. It is not known if there is no such other. A member that does not answer is found by
// its name, which one has that was begun.
func isMember(etcd string, hosts map[string]facts.Host, name string) (member, known bool) {
	id := hosts[name].Kubernetes.EtcdOf(etcd).ID
	for other, f := range hosts {
		e := f.Kubernetes.EtcdOf(etcd)
		if other == name || !e.Quorum {
			continue
		}
		known = true
		member = member || slices.ContainsFunc(e.Members, func(m facts.EtcdMember) bool { return m.ID == id || id == "" && m.Name == name })
	}
	return member, known
}

// resetting is a reset in hand.
type resetting struct {
	*Session
	named   []string
	left    map[string]facts.InventoryHost
	hosts   map[string]facts.Host
	cluster string // whose hosts are reset; empty is none
	unclear string

	mu     sync.Mutex
	said   bool // that it is interrupted
	failed []error
	done   map[string]bool
	inHand map[string]*agent.Client
}

// each resets the hosts that are named and chosen. It fails only when it is interrupted; what else fails is in failed.
func (r *resetting) each(ctx context.Context, chosen func(name string) bool) error {
	var owned sync.WaitGroup
	defer owned.Wait()
	over := make(chan struct{})
	defer close(over)
	owned.Go(func() {
		select {
		case <-over:
		case <-ctx.Done():
			r.interrupted(owned.Go)
		}
	})
	err := r.fleet.each(ctx, func(m *member) {
		name := m.host.Name
		if !slices.Contains(r.named, name) || !chosen(name) {
			return
		}
		err := r.reset(ctx, m)
		if err != nil && ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.failed = append(r.failed, err)
			r.fleet.event(event.Event{Kind: event.StepFailed, Host: name, Step: resetStep, Error: err.Error()})
			return
		}
		if r.done == nil {
			r.done = map[string]bool{}
		}
		r.done[name] = true
	})
	if err != nil {
		r.interrupted(owned.Go)
		return ErrInterrupted
	}
	return nil
}

// interrupted has all hosts in hand finish the resource that they are at.
func (r *resetting) interrupted(start func(func())) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said {
		return
	}
	r.said = true
	r.fleet.event(event.Event{Kind: event.RunInterrupted, Message: run.InterruptedMessage})
	for _, c := range r.inHand {
		start(c.Finish) // one that does not answer takes its time
	}
}

func (r *resetting) reset(ctx context.Context, m *member) error {
	name, start := m.host.Name, time.Now()
	r.fleet.event(event.Event{Kind: event.StepStarted, Host: name, Step: resetStep})
	h, err := r.fleet.work(ctx, name)
	if err != nil {
		return err
	}
	if err := m.hold(ctx); err != nil {
		return err
	}
	identity := m.facts.Identity
	m.letGo()
	if err := r.mayReset(name, identity); err != nil {
		return err
	}
	c := h.(*agent.Client)
	if !r.begin(ctx, name, c) {
		return ErrInterrupted
	}
	defer r.end(name)
	// What is in hand is finished: not the context ends it, but Finish.
	err = c.Reset(context.WithoutCancel(ctx), func(p agent.Progress) {
		if p.Phase == agent.Begin {
			r.fleet.event(event.Event{Kind: event.ResourceStarted, Host: name, Step: resetStep, Resource: p.Resource.String()})
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.fleet.event(event.Event{Kind: event.StepDone, Host: name, Step: resetStep, Elapsed: time.Since(start)})
	return nil
}

// begin notes that a host is in hand, unless the reset is interrupted already.
func (r *resetting) begin(ctx context.Context, name string, c *agent.Client) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if r.inHand == nil {
		r.inHand = map[string]*agent.Client{}
	}
	r.inHand[name] = c
	return true
}

func (r *resetting) end(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inHand, name)
}

// mayReset says why a host is left as it is: it is not one of this cluster, or not the one that is remembered.
func (r *resetting) mayReset(name string, i facts.Identity) error {
	switch of := fmt.Sprintf("%s (%s)", i.ClusterName, i.Cluster); {
	case i.Cluster == "" || r.cluster != "" && i.Cluster == r.cluster:
	case r.unclear == "":
		return fmt.Errorf("%s belongs to another cluster, %s, and is left as it is", name, of)
	default:
		return fmt.Errorf("%s belongs to the cluster %s, and whether that is the one of the cluster file is not clear: %s; it is left as it is. "+
			"Bring back the hosts that know, or name only hosts of one cluster and use a file with that cluster's name", name, of, r.unclear)
	}
	h, left := r.left[name]
	if !left {
		return nil
	}
	if h.Machine != "" && h.Machine != i.Machine {
		return fmt.Errorf("the machine that answers at %s is not the %s that left the cluster file, and is left as it is; if %s is gone for good: kubewright reset --forget %s",
			h.Address, name, name, name)
	}
	for _, of := range r.o.Cluster.Hosts {
		if f, ok := r.hosts[of.Name]; ok && i.Machine != "" && f.Identity.Machine == i.Machine && !slices.Contains(r.named, of.Name) {
			return fmt.Errorf("the machine that answers at %s is %s by now, and is left as it is; to remember %s no longer: kubewright reset --forget %s", h.Address, of.Name, name, name)
		}
	}
	return nil
}

// forget takes hosts out of what control planes remember: of those that were not reset themselves, on which nothing shall be.
func (s *Session) forget(ctx context.Context, names, reset []string) error {
	if err := s.fleet.look(ctx); err != nil {
		return err
	}
	hosts, _ := s.Facts()
	s.o.Forget = append(s.o.Forget, names...)
	s.o.Components = nil // other hosts that are to leave do not leave by this: they stay remembered, and nothing that is about their leaving stands in the way
	remembers := func(host string) bool {
		f, ok := hosts[host]
		return ok && !slices.Contains(reset, host) && f.Inventory != nil && slices.ContainsFunc(f.Inventory.Hosts, func(h facts.InventoryHost) bool { return slices.Contains(names, h.Name) })
	}
	p, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(c plan.StepChange) bool { return c.Name != inventoryStep || !remembers(c.Host) })
	o := s.o.Run
	o.Host, o.Events, o.Interrupt = s.fleet.work, s.o.Events, ctx.Done()
	result, err := run.Run(context.WithoutCancel(ctx), p, o)
	switch {
	case err != nil:
		return err
	case result.Interrupted:
		return ErrInterrupted
	case result.Done < len(p.Steps):
		return fmt.Errorf("%s: not forgotten everywhere: %w", strings.Join(names, ", "), &IncompleteError{p, result})
	}
	return nil
}

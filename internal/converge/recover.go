package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// EtcdRecovery is what it comes to that the data of one member becomes the cluster's.
type EtcdRecovery struct {
	// Host has the member.
	Host string
	// Ends are hosts that answer, whose members end and whose data is set aside.
	Ends []string
	// Silent are hosts that carry members, or did, and do not answer: what they have is not known, and must not come back as it is.
	Silent []string
	// Again says that the member is a cluster of itself already, by a recovery that did not come to its end.
	Again bool
	// Plan is what is done first.
	Plan *plan.Plan
}

// RecoverEtcd makes the data of the member of a host the cluster's, of the cluster of etcd with a name (facts.MainEtcd), when most members are lost for good: it becomes a cluster of itself. It takes the locks of those hosts that
// answer; that others do not is what it is for. ask sees before what it comes to. Once the member has begun to be alone, an interrupt is heard only when it runs as always again.
func (s *Session) RecoverEtcd(ctx context.Context, b *bundle.Bundle, name, host string, ask func(EtcdRecovery) error) error {
	return s.ended(ctx, s.recoverEtcd(ctx, b, name, host, ask))
}

func (s *Session) recoverEtcd(ctx context.Context, b *bundle.Bundle, name, host string, ask func(EtcdRecovery) error) error {
	hosts, _ := s.here()
	var there []v1alpha1.Host
	for _, h := range s.o.Cluster.Keepers() {
		if _, answers := hosts[h.Name]; answers {
			there = append(there, h)
		}
	}
	if len(there) == 0 {
		return errors.New("none of the control-plane and etcd hosts answers; one has to, which has the data of a member")
	}
	if err := s.lockOf(ctx, there); err != nil {
		return err
	}
	if err := s.fleet.look(ctx); err != nil {
		return err
	}
	if err := s.meet(ctx); err != nil { // those that left the cluster file may have members
		return err
	}
	in, r, err := s.recovery(b, name, host)
	if err != nil {
		return err
	}
	if r.Again {
		return s.settleEtcd(ctx, in, r, ask)
	}
	steps, err := etcd.Recovery(in)
	if err != nil {
		return err
	}
	if r.Plan, err = s.planSteps(ctx, steps); err != nil {
		return err
	}
	if err := ask(r); err != nil {
		return err
	}
	if err := s.runOnce(ctx, r.Plan, ctx.Done()); errors.Is(err, ErrInterrupted) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w\nWhen that is repaired, run the command again, before anything else: it goes on where it stopped", err)
	}
	// From here to its end: a member that keeps forgetting the others must not be left.
	ctx = context.WithoutCancel(ctx)
	settling, err := in.Settling()
	if err != nil {
		return err
	}
	p, err := s.planSteps(ctx, []plan.Step{settling})
	if err != nil {
		return err
	}
	return s.settled(ctx, p, in.Etcd, host)
}

// settleEtcd ends a recovery that was cut off: the member is alone, and may still be told to forget others.
func (s *Session) settleEtcd(ctx context.Context, in etcd.RecoveryInput, r EtcdRecovery, ask func(EtcdRecovery) error) error {
	settling, err := in.Settling()
	if err != nil {
		return err
	}
	steps := append(in.Ending(), settling)
	if r.Plan, err = s.planSteps(ctx, steps); err != nil {
		return err
	}
	if r.Plan.Empty() {
		return fmt.Errorf("the member of etcd on %s has a quorum, and is the only one: there is nothing to recover. \"kubewright apply\" has others come that the cluster file names", r.Host)
	}
	if err := ask(r); err != nil {
		return err
	}
	return s.settled(ctx, r.Plan, in.Etcd, r.Host)
}

// settled runs the last plan of a recovery, and looks whether it came to what it is for.
func (s *Session) settled(ctx context.Context, p *plan.Plan, of cluster.EtcdCluster, host string) error {
	if err := s.runOnce(ctx, p, nil); err != nil {
		return fmt.Errorf("%w\nThe member may still forget others each time that it is started: run the command again, before anything else", err)
	}
	if err := s.fleet.look(ctx); err != nil {
		return err
	}
	hosts, missing := s.Facts()
	f, answered := hosts[host]
	switch e := f.Kubernetes.EtcdOf(of.Name); {
	case !answered:
		return fmt.Errorf("whether etcd has a quorum now is not known: %s", missing[host])
	case !e.Quorum:
		return fmt.Errorf("%s: its member runs, and has no quorum: %s. \"kubewright logs %s %s\" says what it said", host, e.Unwell, host, of.Name)
	}
	return nil
}

// recovery finds out what can be done, and refuses what must not be.
func (s *Session) recovery(b *bundle.Bundle, name, host string) (etcd.RecoveryInput, EtcdRecovery, error) {
	hosts, missing := s.here()
	c := complete(s.o.Cluster, hosts)
	id, problems := identify(c, hosts, "")
	for _, p := range problems {
		if p.Blocks {
			return etcd.RecoveryInput{}, EtcdRecovery{}, errors.New(p.String())
		}
	}
	if id == "" {
		return etcd.RecoveryInput{}, EtcdRecovery{}, errors.New("no host that answers belongs to a cluster of Kubewright, so there is nothing to recover")
	}
	if why := missing[host]; why != "" {
		return etcd.RecoveryInput{}, EtcdRecovery{}, errors.New(why)
	}
	leavers := s.leavers(id)
	every := everyHost(Wish{Cluster: c, Hosts: hosts, Leaving: leavers})
	of := c.MainEtcd()
	if c.Etcd.External.Wanted() {
		return etcd.RecoveryInput{}, EtcdRecovery{}, errors.New("the etcd is your own (etcd.external): it is recovered where it runs, and API servers go on when it answers; " +
			"https://etcd.io/docs/v3.6/op-guide/recovery/ says how")
	}
	if name == facts.EventsEtcd {
		if of = c.EventsEtcd(); len(of.Hosts) == 0 {
			return etcd.RecoveryInput{}, EtcdRecovery{}, errors.New("the cluster file has no etcd for events (etcd.events), so there is none to recover")
		}
	}
	in := etcd.RecoveryInput{Input: etcd.Input{Cluster: c, Etcd: of, Hosts: every, Bundle: b, RuntimeEndpoint: runtime.Endpoint(c)}}
	again, err := etcd.MayRecover(in.Input, host)
	if err != nil {
		return in, EtcdRecovery{}, err
	}
	in.Host = *c.Host(host)
	r := EtcdRecovery{Host: host, Again: again}
	r.Ends, r.Silent = others(of, every, host, leavers)
	in.Others = r.Ends
	return in, r, nil
}

// others are the hosts besides one whose members end, and those that may have one and do not answer: both in order of their names. Which members there were, the one that is left knows as
// well as the cluster file.
func others(c cluster.EtcdCluster, every map[string]facts.Host, host string, leavers []facts.Leaver) (ends, silent []string) {
	may := map[string]bool{}
	for _, h := range c.Hosts {
		may[h.Name] = true
	}
	for _, m := range every[host].Kubernetes.EtcdOf(c.Name).Members {
		may[m.Name] = m.Name != ""
	}
	for _, l := range leavers {
		may[l.Name] = may[l.Name] || slices.Contains(l.Roles, string(v1alpha1.ControlPlane)) || slices.Contains(l.Roles, string(v1alpha1.Etcd))
	}
	for name, f := range every {
		if name != host && etcd.HasMember(c, f) {
			ends = append(ends, name)
		}
	}
	for name := range may {
		if _, answered := every[name]; !answered && may[name] {
			silent = append(silent, name)
		}
	}
	slices.Sort(ends)
	slices.Sort(silent)
	return ends, silent
}

// Package converge is the program's table of contents: load, connect, look, ask the components for steps, observe, plan, run, and again until nothing remains.
// What hosts are like and what is done on them is the business of the packages below; how it is shown, of those above.
package converge

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/hostprep"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/run"
)

// Options of a session.
type Options struct {
	Cluster *cluster.Cluster
	// File is the cluster file as it was read, which control planes remember; nil if they are to remember none.
	File []byte
	// Components make the steps.
	Components Components
	// Connect starts agents.
	Connect Connect
	// Blobs are what hosts may need besides the contents of files.
	Blobs agent.Blobs
	// Events are told what happens.
	Events event.Sink
	// Holder says who runs this. Its Run names the run.
	Holder agent.Holder
	// LockTimeout is how long to wait for another run that has the locks; 0 is as long as the context lasts.
	LockTimeout time.Duration
	// LockFirst says that the first thing to come is Apply: what hosts are is asked when it has the locks, since nothing counts that was seen before.
	LockFirst bool
	// Forget are hosts that left the cluster file and are not remembered any more.
	Forget []string
	// Force overrules what stands in the way and says what is lost by that. Apply overrules only what the plan that was asked about has.
	Force bool
	// Run has what can be set about runs besides; zero is fine.
	Run run.Options
}

// Session is a run on some hosts: connections to them, what they are, and the locks if it has them.
type Session struct {
	o     Options
	fleet *fleet
	blobs *blobs
	keys  *keyring
	fresh string                         // the ID of a new cluster
	left  map[string]facts.InventoryHost // hosts that left the cluster file and are to leave the cluster, by name
	// agreed are the losses that were asked about; nil as long as nobody was.
	agreed map[string]bool
}

// Open connects to all hosts and asks what they are. Hosts that cannot be worked with are no error; plans say so.
func Open(ctx context.Context, o Options) (*Session, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	s := &Session{o: o, blobs: newBlobs(o.Blobs), fresh: hex.EncodeToString(id)}
	s.keys = newKeyring(func(ctx context.Context, host string) (map[string][]byte, error) { return s.fleet.shared(ctx, host) })
	s.fleet = newFleet(o.Cluster.Hosts, o.Connect, s.blobs, s.keys, o.Events)
	begin := s.fleet.look
	if o.LockFirst {
		begin = s.fleet.begin
	}
	if err := begin(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session on all hosts, and with it the locks.
func (s *Session) Close() { s.fleet.close() }

// Facts are what the hosts are that answered, and why others did not.
func (s *Session) Facts() (hosts map[string]facts.Host, missing map[string]string) {
	hosts, missing = map[string]facts.Host{}, map[string]string{}
	for name, m := range s.fleet.members {
		_ = m.hold(context.Background()) // whoever connects to it ends with their context
		if m.client != nil && m.err == nil {
			hosts[name] = m.facts
		} else if m.err != nil {
			missing[name] = m.err.Error()
		} else {
			missing[name] = "it was not connected to"
		}
		m.letGo()
	}
	return hosts, missing
}

// Plan asks the components for steps and the hosts for how they differ from them.
func (s *Session) Plan(ctx context.Context) (*plan.Plan, error) {
	if err := s.meet(ctx); err != nil {
		return nil, err
	}
	hosts, missing := s.here()
	in, err := s.steps(ctx, hosts)
	if err != nil {
		return nil, err
	}
	problems, err := s.endpointProblems(ctx, complete(s.o.Cluster, hosts), hosts)
	if err != nil {
		return nil, err
	}
	in.Problems = s.overrule(append(in.Problems, problems...))
	s.blobs.take(in.Steps)
	s.keys.take(in.Steps)
	byHost := map[string][]plan.Step{}
	for _, step := range in.Steps {
		byHost[step.Host] = append(byHost[step.Host], step)
	}
	type found struct {
		host string
		plan.Difference
		err error
	}
	var comparison plan.Comparison
	answers := make(chan found, len(in.Hosts))
	if err := s.fleet.each(ctx, func(m *member) {
		name := m.host.Name
		if !slices.Contains(in.Hosts, name) || missing[name] != "" {
			return
		}
		if m.hold(ctx) != nil {
			return
		}
		client := m.client
		m.letGo()
		o, err := client.Observe(ctx, byHost[name])
		answers <- found{name, comparison.Compare(byHost[name], o), err}
	}); err != nil {
		return nil, err
	}
	close(answers)
	in.Found, in.Missing = map[string]plan.Difference{}, missing
	for a := range answers {
		if a.err != nil {
			in.Missing[a.host] = a.err.Error()
			continue
		}
		in.Found[a.host] = a.Difference
	}
	return plan.Make(in)
}

// overrule has problems not stand in the way that a person has overruled. What comes up after that was asked about does: nobody agreed to lose that.
func (s *Session) overrule(problems []plan.Problem) []plan.Problem {
	if !s.o.Force {
		return problems
	}
	problems = slices.Clone(problems)
	for i, p := range problems {
		if s.agreed == nil || s.agreed[p.Loss] {
			problems[i] = p.Overrule()
		}
	}
	return problems
}

// steps are all that shall be, as the components say; those of hosts that did not answer are not among them.
func (s *Session) steps(ctx context.Context, hosts map[string]facts.Host) (plan.Input, error) {
	c := complete(s.o.Cluster, hosts)
	var in plan.Input
	for _, h := range c.Hosts {
		in.Hosts = append(in.Hosts, h.Name)
	}
	id, problems := identify(c, hosts, s.fresh)
	in.Problems = problems
	in.Steps = identitySteps(c, hosts, id)
	leavers := s.leavers(id)
	if s.o.Components != nil {
		w := Wish{
			Cluster: c, Hosts: hosts, Leaving: leavers,
			Keys: func() (Keys, []plan.Problem) { return s.keys.see(c, hosts) },
			After: func(host string) []plan.Condition {
				return []plan.Condition{plan.After(plan.StepID{Host: host, Name: identityStep})}
			},
		}
		var unasked []plan.Problem
		var err error
		if w.External, unasked, err = s.external(ctx, w); err != nil {
			return in, err
		}
		more, problems := s.o.Components(w)
		in.Steps, in.Problems = append(in.Steps, more...), slices.Concat(in.Problems, unasked, problems)
	}
	in.Problems = append(manyLeave(c, hosts, s.o.Forget, leavers, in.Steps), in.Problems...) // first, where nobody overlooks it
	all, problems := inventory(c, hosts, s.o.Forget, leavers, in.Steps)
	in.Problems = append(in.Problems, problems...)
	steps, err := inventorySteps(c, hosts, leavers, all, in.Steps)
	if err != nil {
		return in, err
	}
	in.Steps = append(append(in.Steps, steps...), fileSteps(c, hosts, s.o.File)...)
	for _, l := range leavers {
		if l.Host != nil && slices.ContainsFunc(in.Steps, func(s plan.Step) bool { return s.Host == l.Name }) {
			in.Hosts = append(in.Hosts, l.Name)
		}
	}
	in.Steps, problems = own(c, in.Steps)
	in.Problems = append(in.Problems, problems...)
	in.Groups = groups(c)
	in.Steps = onlyThere(in.Steps, hosts)
	return in, nil
}

// complete is the cluster with the addresses that other hosts reach each by, where the file leaves them to be found out: the first of each family. A host
// that is silent has those that control planes remember: the others must not forget it because of that.
func complete(c *cluster.Cluster, hosts map[string]facts.Host) *cluster.Cluster {
	spec := *c.Cluster
	spec.Hosts = slices.Clone(spec.Hosts)
	for i := range spec.Hosts {
		h := &spec.Hosts[i]
		if len(h.InternalAddresses) > 0 {
			continue
		}
		f, answered := hosts[h.Name]
		if !answered {
			h.InternalAddresses = remembered(hosts, *h)
			continue
		}
		families := map[bool]bool{}
		for _, a := range f.Addresses {
			if !families[a.Is4()] {
				families[a.Is4()] = true
				h.InternalAddresses = append(h.InternalAddresses, a.String())
			}
		}
	}
	whole := *c
	whole.Cluster = &spec
	return &whole
}

// remembered are the addresses that other hosts reached one by that was then reached at the address that it has in the file now.
func remembered(hosts map[string]facts.Host, h v1alpha1.Host) []string {
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if hosts[name].Inventory == nil {
			continue
		}
		for _, i := range hosts[name].Inventory.Hosts {
			if i.Name == h.Name && i.Address == h.Address && len(i.InternalAddresses) > 0 {
				return slices.Clone(i.InternalAddresses)
			}
		}
	}
	return nil
}

// own takes files of the user's out that Kubewright writes itself, and says so. Those that host preparation writes it has found already.
func own(c *cluster.Cluster, steps []plan.Step) ([]plan.Step, []plan.Problem) {
	users := map[string]bool{}
	for _, f := range c.Files {
		users[f.Path] = true
	}
	ofUser := func(s plan.Step, r resource.Resource) bool {
		f, ok := r.(resource.File)
		return ok && s.Name == hostprep.Step && users[f.Path]
	}
	type place struct{ host, path string }
	ours := map[place]bool{}
	for _, s := range steps {
		for _, r := range s.Resources {
			if ofUser(s, r) {
				continue
			}
			for _, path := range places(r) {
				ours[place{s.Host, path}] = true
			}
		}
	}
	var problems []plan.Problem
	for i := range steps {
		s := &steps[i]
		s.Resources = slices.DeleteFunc(slices.Clone(s.Resources), func(r resource.Resource) bool {
			if !ofUser(*s, r) || !ours[place{s.Host, r.ID().Name}] && !strings.HasPrefix(r.ID().Name, agent.Dir+"/") {
				return false
			}
			problems = append(problems, plan.Problem{Host: s.Host, Message: fmt.Sprintf("the cluster file places a file at %s, which Kubewright writes itself", r.ID().Name),
				Remedy: "Take it out of \"files\"", Blocks: true})
			return true
		})
	}
	return steps, problems
}

// places are the paths that a resource writes.
func places(r resource.Resource) []string {
	switch r := r.(type) {
	case resource.Keeper:
		return r.Keeps()
	case resource.Directory:
		return []string{r.Path}
	case resource.Block:
		return []string{r.Path}
	case resource.Identity:
		return []string{resource.IdentityPath}
	}
	return nil
}

// onlyThere takes conditions off steps that nothing is known of: hosts that are missing have no steps, and what they would have done counts as not done.
func onlyThere(steps []plan.Step, hosts map[string]facts.Host) []plan.Step {
	known := map[plan.StepID]bool{}
	for _, s := range steps {
		known[s.StepID] = true
	}
	for i := range steps {
		for _, c := range steps[i].Requires {
			for _, id := range c.Of {
				if _, there := hosts[id.Host]; !known[id] && !there {
					known[id] = true
					steps = append(steps, plan.Step{StepID: id})
				}
			}
		}
	}
	return steps
}

// groups rule how many hosts are disturbed at once.
func groups(c *cluster.Cluster) []plan.Group {
	members := map[string][]string{}
	for _, h := range c.Hosts {
		g := cluster.GroupOf(h)
		members[g] = append(members[g], h.Name)
	}
	if len(c.With(v1alpha1.Etcd)) > 0 {
		for _, h := range c.EtcdHosts() {
			members[cluster.MainMembers] = append(members[cluster.MainMembers], h.Name)
		}
	}
	for _, h := range c.EventsEtcd().Hosts {
		members[cluster.EventsMembers] = append(members[cluster.EventsMembers], h.Name)
	}
	var all []plan.Group
	for _, name := range slices.Sorted(maps.Keys(members)) {
		n := len(members[name])
		g := plan.Group{Name: name, Members: members[name], AtOnce: 1, StopAfter: 1}
		switch name {
		case cluster.Workers:
			// A tenth, as kOps and managed services do by default; the first one alone shows whether it goes well at all.
			g.AtOnce, g.Canary, g.StopAfter = max(1, n/10), true, max(1, n/20)
		default:
			g.MinWell = min(n/2+1, n-1)
		}
		all = append(all, g)
	}
	return all
}

// Lock takes the locks of most of the hosts that hold the cluster together. It waits for another run, and says so, no longer than Options.LockTimeout.
func (s *Session) Lock(ctx context.Context) error { return s.lockOf(ctx, s.o.Cluster.Keepers()) }

// lockOf takes the locks of most of some hosts.
func (s *Session) lockOf(ctx context.Context, hosts []v1alpha1.Host) error {
	var keepers []run.Keeper
	var names []string
	slices.SortFunc(hosts, func(a, b v1alpha1.Host) int { return compareAddresses(a.Address, b.Address) })
	for _, h := range hosts {
		k := run.Keeper{Name: h.Name}
		if m := s.fleet.members[h.Name]; m.client != nil {
			k.Host = lockHost{s.fleet, m}
		}
		keepers, names = append(keepers, k), append(names, h.Name)
	}
	// The limit is on waiting for another run only, not on what is done before and after it.
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var limit *time.Timer
	err := run.Lock(waiting, keepers, s.o.Holder, func(busy *run.BusyError) {
		if limit == nil && s.o.LockTimeout > 0 {
			limit = time.AfterFunc(s.o.LockTimeout, func() { stop(fmt.Errorf("gave up after %s (--lock-timeout)", s.o.LockTimeout)) })
		}
		s.fleet.event(event.Event{Kind: event.LockWaiting, Host: busy.Host, Message: "waiting: " + busy.Error()})
	})
	if limit != nil {
		limit.Stop()
	}
	if err != nil {
		return err
	}
	if err := s.fleet.take(ctx, s.o.Holder, names); err != nil {
		return err
	}
	s.fleet.event(event.Event{Kind: event.LockTaken})
	return nil
}

// compareAddresses puts IP addresses in their order and before names.
func compareAddresses(a, b string) int {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	switch {
	case errX == nil && errY == nil:
		return x.Compare(y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a, b)
}

// ErrDeclined is that a person did not want what a plan shows.
var ErrDeclined = errors.New("nothing was changed")

// ErrInterrupted is that a run was interrupted, and all that it had begun is finished.
var ErrInterrupted = errors.New("interrupted: what was in hand is finished, the rest is left; run it again to go on")

// IncompleteError is what is left when a run ends without everything being as it shall be.
type IncompleteError struct {
	Plan   *plan.Plan
	Result run.Result
}

func (e *IncompleteError) Error() string {
	var lines []string
	for _, name := range e.Plan.Hosts {
		if why, ok := e.Plan.Missing[name]; ok {
			if !strings.HasPrefix(why, name) {
				why = name + ": " + why
			}
			lines = append(lines, why)
		}
	}
	for _, p := range e.Plan.Problems {
		if p.Blocks {
			lines = append(lines, p.String())
		}
	}
	for _, f := range e.Result.Failed {
		lines = append(lines, fmt.Sprintf("%s: %s: %v", f.Step.Host, f.Step.Name, f.Err))
	}
	for _, f := range e.Result.Skipped {
		lines = append(lines, fmt.Sprintf("%s: %s: not begun: %v", f.Step.Host, f.Step.Name, f.Err))
	}
	if len(lines) == 0 {
		lines = append(lines, "something is left to do, but nothing more came of trying; \"kubewright plan\" shows it")
	}
	const most = 20
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most], fmt.Sprintf("and %d more", more))
	}
	return "not everything is as it shall be:\n  " + strings.Join(lines, "\n  ")
}

// maxRounds bounds how often it is planned and run again; what takes more rounds by nature goes further in each.
const maxRounds = 50

// Apply takes the locks, plans, asks, runs, and again until nothing remains. ask sees the first plan. When the context ends, what is in hand on hosts
// is finished.
func (s *Session) Apply(ctx context.Context, ask func(*plan.Plan) error) error {
	return s.ended(ctx, s.apply(ctx, ask))
}

// ended is what a run ends with: what fails because it was interrupted is told as that.
func (s *Session) ended(ctx context.Context, err error) error {
	_, incomplete := errors.AsType[*IncompleteError](err)
	if err == nil || ctx.Err() == nil || incomplete || errors.Is(err, ErrInterrupted) || errors.Is(err, ErrDeclined) {
		return err
	}
	s.fleet.event(event.Event{Kind: event.RunInterrupted, Message: run.InterruptedMessage})
	return ErrInterrupted
}

func (s *Session) apply(ctx context.Context, ask func(*plan.Plan) error) error {
	if err := s.Lock(ctx); err != nil {
		return err
	}
	// Another run may have been at work before.
	if err := s.fleet.look(ctx); err != nil {
		return err
	}
	asked := false
	var last run.Result
	for round := 1; round <= maxRounds; round++ {
		p, err := s.Plan(ctx)
		if err != nil {
			return err
		}
		if !asked {
			asked = true
			if err := ask(p); err != nil {
				return err
			}
			s.agreed = map[string]bool{}
			for _, q := range p.Overruled() {
				s.agreed[q.Loss] = true
			}
		}
		work := 0
		for i := range p.Steps {
			if p.Steps[i].Work() {
				work++
			}
		}
		if work == 0 {
			if p.Empty() {
				return nil
			}
			return &IncompleteError{p, last}
		}
		s.fleet.event(event.Event{Kind: event.RoundStarted, Total: work})
		o := s.o.Run
		o.Host, o.Events, o.Interrupt = s.fleet.work, s.o.Events, ctx.Done()
		last, err = run.Run(context.WithoutCancel(ctx), p, o)
		if err != nil {
			return err
		}
		if last.Interrupted {
			return ErrInterrupted
		}
		if last.Done == 0 || broken(last) {
			return &IncompleteError{p, last}
		}
		// What hosts are may have changed: what they belong to, who keeps the clock.
		if err := s.fleet.look(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("after %d rounds there is still something to do, which is a mistake of this program; \"kubewright plan\" shows what", maxRounds)
}

// broken says whether something failed that another round would only try again. What a lost host was to do for the cluster, another does in the next one.
func broken(r run.Result) bool {
	return slices.ContainsFunc(r.Failed, func(f run.Failure) bool {
		_, lost := errors.AsType[*agent.LostError](f.Err)
		return !lost && !errors.Is(f.Err, run.ErrUnknown)
	})
}

// NewRunID names a run, so that names sort by time.
func NewRunID(now time.Time) (string, error) {
	b := make([]byte, 3)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return now.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(b), nil
}

package converge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/run"
)

// Connect starts the agent of a host and returns the stream to it. What it does is told to progress.
type Connect func(ctx context.Context, h v1alpha1.Host, progress func(string)) (io.ReadWriteCloser, error)

// handshakes is how many hosts are connected to at once: more of them only wait for the same processor.
const handshakes = 64

// fleet are the hosts of a run, each with the one agent that it has at a time.
type fleet struct {
	connect Connect
	blobs   agent.Blobs
	keys    agent.Keys
	events  event.Sink

	members map[string]*member
	// relocking holds one thing while somebody takes locks again that were lost.
	relocking chan struct{}

	mu      sync.Mutex
	holder  *agent.Holder // whose locks are taken; nil before
	keepers []string      // hosts of whose locks the run needs most, in the order in which they are taken
	locked  map[string]*agent.Client
}

type member struct {
	host v1alpha1.Host

	held   chan struct{} // holds one thing while somebody uses what follows, connects to the host or asks for its lock
	client *agent.Client
	facts  facts.Host
	err    error // why there is no client
	met    bool  // it answered once
	dead   bool  // it did not when it was connected to, and never had: that is not tried again in this run
	failed bool  // its failure was told
	trying bool  // somebody who does not hold it connects to it
}

func newMember(h v1alpha1.Host) *member { return &member{host: h, held: make(chan struct{}, 1)} }

// hold waits until nobody else holds the member; that may take as long as connecting to it. It fails only with the context.
func (m *member) hold(ctx context.Context) error {
	select {
	case m.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *member) letGo() { <-m.held }

func newFleet(hosts []v1alpha1.Host, connect Connect, blobs agent.Blobs, keys agent.Keys, events event.Sink) *fleet {
	f := &fleet{connect: connect, blobs: blobs, keys: keys, events: events, members: map[string]*member{}, relocking: make(chan struct{}, 1), locked: map[string]*agent.Client{}}
	for _, h := range hosts {
		f.members[h.Name] = newMember(h)
	}
	return f
}

func (f *fleet) event(v event.Event) {
	v.Time = time.Now()
	f.events(v)
}

// each does something for every host, several at once. It fails only with the context.
func (f *fleet) each(ctx context.Context, do func(m *member)) error {
	var g errgroup.Group
	g.SetLimit(handshakes)
	for _, m := range f.members {
		g.Go(func() error {
			if ctx.Err() == nil {
				do(m)
			}
			return nil
		})
	}
	_ = g.Wait()
	return ctx.Err()
}

// begin connects to the hosts, for a run that asks what they are when it has their locks.
func (f *fleet) begin(ctx context.Context) error {
	return f.each(ctx, func(m *member) {
		if m.hold(ctx) != nil {
			return
		}
		defer m.letGo()
		start := time.Now()
		client, err := f.connectTo(ctx, m.host)
		_ = f.reached(ctx, m, time.Since(start), client, facts.Host{}, err) // it stays with the member
	})
}

// look connects to the hosts that are not, and asks all of them what they are. Why one cannot be worked with stays with it; the others go on.
func (f *fleet) look(ctx context.Context) error {
	return f.each(ctx, func(m *member) {
		if m.hold(ctx) != nil {
			return
		}
		defer m.letGo()
		again := m.client != nil
		if err := f.ensure(ctx, m); err != nil || !again {
			return
		}
		m.facts, m.err = m.client.Hello(ctx)
	})
}

// ensure connects to a host unless that is so. The member is held. A host that never answered is not tried again: a dead one would cost each look of each round
// the time that dialling takes.
func (f *fleet) ensure(ctx context.Context, m *member) error {
	if m.dead {
		return m.err
	}
	if f.alive(m) {
		return nil
	}
	start := time.Now()
	client, of, err := f.reach(ctx, m.host)
	return f.reached(ctx, m, time.Since(start), client, of, err)
}

// alive says whether a member, which is held, is connected to. That a connection ended is told, once.
func (f *fleet) alive(m *member) bool {
	if m.client == nil {
		return false
	}
	if m.client.Alive() {
		return true
	}
	m.client.Close()
	m.client = nil
	f.event(event.Event{Kind: event.HostLost, Host: m.host.Name})
	return false
}

// connectTo starts an agent on a host.
func (f *fleet) connectTo(ctx context.Context, h v1alpha1.Host) (*agent.Client, error) {
	stream, err := f.connect(ctx, h, func(message string) {
		f.event(event.Event{Kind: event.HostConnecting, Host: h.Name, Message: message})
	})
	if err != nil {
		return nil, err
	}
	return agent.Connect(ctx, h.Name, stream, f.blobs, f.keys)
}

// reach connects to a host and asks it what it is.
func (f *fleet) reach(ctx context.Context, h v1alpha1.Host) (*agent.Client, facts.Host, error) {
	c, err := f.connectTo(ctx, h)
	if err != nil {
		return nil, facts.Host{}, err
	}
	of, err := c.Hello(ctx)
	if err != nil {
		c.Close()
		return nil, facts.Host{}, fmt.Errorf("%s: asking what it is: %w", h.Name, err)
	}
	return c, of, nil
}

// reached notes on a member, which is held, what came of connecting to it.
func (f *fleet) reached(ctx context.Context, m *member, took time.Duration, client *agent.Client, of facts.Host, err error) error {
	m.err = err
	if err != nil {
		if ctx.Err() == nil {
			m.dead = !m.met
			if !m.failed {
				m.failed = true
				f.event(event.Event{Kind: event.HostFailed, Host: m.host.Name, Error: err.Error()})
			}
		}
		return err
	}
	m.client, m.facts = client, of
	m.met, m.dead, m.failed = true, false, false
	f.event(event.Event{Kind: event.HostConnected, Host: m.host.Name, Elapsed: took})
	return nil
}

// work is a host with its lock, for runs.
func (f *fleet) work(ctx context.Context, name string) (run.Host, error) {
	c, err := f.client(ctx, name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// client is the agent of a host, with its lock, connected to again if it has to be.
func (f *fleet) client(ctx context.Context, name string) (*agent.Client, error) {
	f.mu.Lock()
	holder := f.holder
	f.mu.Unlock()
	if holder == nil {
		return nil, errors.New("the run has no locks, which is a mistake of this program")
	}
	if err := f.keep(ctx, *holder); err != nil {
		return nil, err
	}
	m := f.members[name]
	if err := m.hold(ctx); err != nil {
		return nil, err
	}
	defer m.letGo()
	if err := f.ensure(ctx, m); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !m.met {
			return nil, err // waiting for it would be for something that nobody has seen
		}
		return nil, &agent.LostError{Host: name, Err: fmt.Errorf("connecting to it again: %w", err)}
	}
	if err := f.lock(ctx, m, *holder); err != nil {
		return nil, err
	}
	return m.client, nil
}

// connected is the agent of a host as it was connected to, for who only looks.
func (f *fleet) connected(ctx context.Context, name string) (*agent.Client, error) {
	m := f.members[name]
	if err := m.hold(ctx); err != nil {
		return nil, err
	}
	defer m.letGo()
	if m.client == nil {
		return nil, &agent.LostError{Host: name, Err: m.err}
	}
	return m.client, nil
}

// shared reads what a control plane shares with others.
func (f *fleet) shared(ctx context.Context, name string) (map[string][]byte, error) {
	c, err := f.client(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.Shared(ctx)
}

// take has the run work with the locks that were taken, and takes those of all other hosts that answer, so that what another run left in hand is finished before
// anybody looks.
func (f *fleet) take(ctx context.Context, h agent.Holder, keepers []string) error {
	f.mu.Lock()
	f.holder, f.keepers = &h, keepers
	f.mu.Unlock()
	return f.each(ctx, func(m *member) {
		if m.hold(ctx) != nil {
			return
		}
		defer m.letGo()
		if m.client != nil {
			_ = f.lock(ctx, m, h) // who works on it tries again, and says why it cannot be had
		}
	})
}

// holds says whether the lock of a host is held by the agent that a client speaks to.
func (f *fleet) holds(host string, c *agent.Client) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c != nil && f.locked[host] == c
}

// holdsMost says whether the run has the locks of most keepers.
func (f *fleet) holdsMost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, name := range f.keepers {
		if c := f.locked[name]; c != nil && c.Alive() {
			n++
		}
	}
	return 2*n > len(f.keepers)
}

// keep takes locks again that were lost with the connections to keepers, until the run has most of them. If another run took them meanwhile, this one
// is over.
func (f *fleet) keep(ctx context.Context, h agent.Holder) error {
	if f.holdsMost() {
		return nil
	}
	select {
	case f.relocking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-f.relocking }()
	var silent []error
	for _, name := range f.keepers {
		if f.holdsMost() {
			return nil
		}
		busy, err := lockHost{f, f.members[name]}.Lock(ctx, h)
		switch {
		case err != nil:
			silent = append(silent, err)
		case busy != nil && busy.Run != h.Run:
			return &run.BusyError{Host: name, Holder: *busy}
		case busy != nil:
			silent = append(silent, fmt.Errorf("the agent of before on %s is finishing what it had in hand", name))
		}
	}
	if f.holdsMost() {
		return nil
	}
	return &agent.LostError{Host: "the run", Err: fmt.Errorf("the locks of most control-plane and etcd hosts were lost: %w", errors.Join(silent...))}
}

// finishing is how long an agent may go on after its run has ended.
const finishing = agent.BeatTimeout + agent.Grace + 10*time.Second

// lock takes the lock of a host that is connected to and held. An agent whose connection was cut may still be finishing what it had in hand, also one of another run:
// this one has the locks of most keepers, so the other is over. It is waited for.
func (f *fleet) lock(ctx context.Context, m *member, h agent.Holder) error {
	if f.holds(m.host.Name, m.client) {
		return nil
	}
	said := false
	for start := time.Now(); ; {
		busy, err := m.client.Lock(ctx, h)
		switch {
		case err != nil:
			return err
		case busy == nil:
			f.mu.Lock()
			f.locked[m.host.Name] = m.client
			f.mu.Unlock()
			return nil
		case time.Since(start) > finishing:
			return &run.BusyError{Host: m.host.Name, Holder: *busy}
		}
		if !said {
			said = true
			f.event(event.Event{Kind: event.LockWaiting, Host: m.host.Name,
				Message: fmt.Sprintf("an agent of before (run %s) is finishing what it had in hand", busy.Run)})
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// lockHost is for the locks of keepers.
type lockHost struct {
	f *fleet
	m *member
}

func (l lockHost) Lock(ctx context.Context, h agent.Holder) (*agent.Holder, error) {
	if err := l.m.hold(ctx); err != nil {
		return nil, err
	}
	defer l.m.letGo()
	if err := l.f.ensure(ctx, l.m); err != nil {
		return nil, &agent.LostError{Host: l.m.host.Name, Err: err}
	}
	if l.f.holds(l.m.host.Name, l.m.client) {
		return nil, nil
	}
	busy, err := l.m.client.Lock(ctx, h)
	if busy == nil && err == nil {
		l.f.mu.Lock()
		l.f.locked[l.m.host.Name] = l.m.client
		l.f.mu.Unlock()
	}
	return busy, err
}

func (l lockHost) Unlock(ctx context.Context) error {
	if err := l.m.hold(ctx); err != nil {
		return err
	}
	defer l.m.letGo()
	if !l.f.holds(l.m.host.Name, l.m.client) {
		return nil
	}
	l.f.mu.Lock()
	delete(l.f.locked, l.m.host.Name)
	l.f.mu.Unlock()
	return l.m.client.Unlock(ctx)
}

// close ends all sessions, and with them the locks.
func (f *fleet) close() {
	var all sync.WaitGroup
	for _, m := range f.members {
		all.Go(func() {
			_ = m.hold(context.Background()) // whoever holds it lets go at the end of their context
			defer m.letGo()
			if m.client != nil {
				m.client.Close()
			}
			m.client = nil
		})
	}
	all.Wait()
}

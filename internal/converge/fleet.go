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
	events  event.Sink

	mu      sync.Mutex
	members map[string]*member
	holder  *agent.Holder // whose locks are taken; nil before
}

type member struct {
	host v1alpha1.Host

	mu     sync.Mutex // held while it is connected to
	client *agent.Client
	locked *agent.Client // the client by which its lock is held
	facts  facts.Host
	err    error // why there is no client
}

func newFleet(hosts []v1alpha1.Host, connect Connect, blobs agent.Blobs, events event.Sink) *fleet {
	f := &fleet{connect: connect, blobs: blobs, events: events, members: map[string]*member{}}
	for _, h := range hosts {
		f.members[h.Name] = &member{host: h}
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

// look connects to the hosts that are not, and asks all of them what they are. Why one cannot be worked with stays with it; the others go on.
func (f *fleet) look(ctx context.Context) error {
	return f.each(ctx, func(m *member) {
		m.mu.Lock()
		defer m.mu.Unlock()
		again := m.client != nil
		if err := f.ensure(ctx, m); err != nil || !again {
			return
		}
		m.facts, m.err = m.client.Hello(ctx)
	})
}

// ensure connects to a host unless that is so. The member is held.
func (f *fleet) ensure(ctx context.Context, m *member) error {
	if m.client != nil {
		select {
		case <-m.client.Done():
			m.client.Close()
			m.client = nil
			f.event(event.Event{Kind: event.HostLost, Host: m.host.Name})
		default:
			return nil
		}
	}
	start := time.Now()
	m.err = func() error {
		stream, err := f.connect(ctx, m.host, func(message string) {
			f.event(event.Event{Kind: event.HostConnecting, Host: m.host.Name, Message: message})
		})
		if err != nil {
			return err
		}
		c, err := agent.Connect(ctx, m.host.Name, stream, f.blobs)
		if err != nil {
			return err
		}
		if m.facts, err = c.Hello(ctx); err != nil {
			c.Close()
			return fmt.Errorf("%s: asking what it is: %w", m.host.Name, err)
		}
		m.client = c
		return nil
	}()
	if m.err != nil {
		if ctx.Err() == nil {
			f.event(event.Event{Kind: event.HostFailed, Host: m.host.Name, Error: m.err.Error()})
		}
		return m.err
	}
	f.event(event.Event{Kind: event.HostConnected, Host: m.host.Name, Elapsed: time.Since(start)})
	return nil
}

// work is a host with its lock, connected to again if it has to be.
func (f *fleet) work(ctx context.Context, name string) (run.Host, error) {
	f.mu.Lock()
	holder := f.holder
	f.mu.Unlock()
	m := f.members[name]
	m.mu.Lock()
	defer m.mu.Unlock()
	if holder == nil {
		return nil, errors.New("the run has no locks, which is a mistake of this program")
	}
	if err := f.ensure(ctx, m); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &agent.LostError{Host: name, Err: err} // it was there when the run began
	}
	if err := f.lock(ctx, m, *holder); err != nil {
		return nil, err
	}
	return m.client, nil
}

// lock takes the lock of a host that is connected to. An agent of this run whose connection was cut may still be finishing what it had in hand; it is
// waited for.
func (f *fleet) lock(ctx context.Context, m *member, h agent.Holder) error {
	if m.locked == m.client {
		return nil
	}
	said := false
	for {
		busy, err := m.client.Lock(ctx, h)
		switch {
		case err != nil:
			return err
		case busy == nil:
			m.locked = m.client
			return nil
		case busy.Run != h.Run:
			return &run.BusyError{Host: m.host.Name, Holder: *busy}
		}
		if !said {
			said = true
			f.event(event.Event{Kind: event.LockWaiting, Host: m.host.Name, Message: "the agent of before is finishing what it had in hand"})
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

// Lock is for the locks of keepers.
type lockHost struct {
	f *fleet
	m *member
}

func (l lockHost) Lock(ctx context.Context, h agent.Holder) (*agent.Holder, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if err := l.f.ensure(ctx, l.m); err != nil {
		return nil, &agent.LostError{Host: l.m.host.Name, Err: err}
	}
	if l.m.locked == l.m.client {
		return nil, nil
	}
	busy, err := l.m.client.Lock(ctx, h)
	if busy == nil && err == nil {
		l.m.locked = l.m.client
	}
	return busy, err
}

func (l lockHost) Unlock(ctx context.Context) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.client == nil || l.m.locked != l.m.client {
		return nil
	}
	l.m.locked = nil
	return l.m.client.Unlock(ctx)
}

// close ends all sessions, and with them the locks.
func (f *fleet) close() {
	var all sync.WaitGroup
	for _, m := range f.members {
		all.Go(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.client != nil {
				m.client.Close()
			}
			m.client = nil
		})
	}
	all.Wait()
}

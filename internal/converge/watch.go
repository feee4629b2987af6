package converge

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Watch looks at everything again and again, as Status does, over the same connections: begin is told that a look begins, show what came of it, and the next one
// begins a time after that. Hosts that do not answer are connected to again meanwhile, also those that never answered; no look waits for them. It ends with the
// context, or with an error of show.
func (s *Session) Watch(ctx context.Context, every time.Duration, begin func(), show func(Status) error) error {
	trying, stop := context.WithCancel(ctx)
	var tries errgroup.Group
	tries.SetLimit(handshakes)
	defer func() {
		stop()
		_ = tries.Wait() // why one does not answer stays with it
	}()
	for {
		begin()
		status, err := s.Status(ctx)
		if err != nil {
			return err
		}
		if err := show(status); err != nil {
			return err
		}
		if err := s.fleet.retry(trying, &tries); err != nil {
			return err
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if err := s.fleet.ask(ctx); err != nil {
			return err
		}
	}
}

// ask asks the hosts that are connected to what they are, without connecting to others.
func (f *fleet) ask(ctx context.Context) error {
	return f.each(ctx, func(m *member) {
		if m.hold(ctx) != nil {
			return
		}
		defer m.letGo()
		if f.connectedTo(m) {
			m.facts, m.err = m.client.Hello(ctx)
		}
	})
}

// retry begins to connect to all hosts that are not connected to, for those of which that is not being done already. It does not wait for them.
func (f *fleet) retry(ctx context.Context, tries *errgroup.Group) error {
	for _, m := range f.members {
		if err := m.hold(ctx); err != nil {
			return err
		}
		if !f.connectedTo(m) && !m.trying {
			// If there is no room, it is tried the next time.
			m.trying = tries.TryGo(func() error {
				start := time.Now()
				client, of, err := f.reach(ctx, m.host)
				_ = m.hold(context.Background()) // whoever asks it ends with their context
				defer m.letGo()
				m.trying = false
				_ = f.reached(ctx, m, time.Since(start), client, of, err) // it stays with the member
				return nil
			})
		}
		m.letGo()
	}
	return nil
}

// connectedTo says whether a member, which is held, is connected to. That a connection ended is told.
func (f *fleet) connectedTo(m *member) bool {
	before := m.client != nil
	if f.alive(m) {
		return true
	}
	if before {
		m.err = fmt.Errorf("%s: the connection was lost; it is being tried again", m.host.Name)
	}
	return false
}

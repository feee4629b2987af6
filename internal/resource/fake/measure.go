package fake

import (
	"context"
	"net/netip"
	"time"

	"github.com/kubewright/kubewright/internal/measure"
)

// Measured is what measuring a machine finds; the zero one is a machine that is well, alone, and has no ports.
type Measured struct {
	Syncs       measure.Syncs
	Rooms       []measure.Room
	Listeners   []measure.Listener
	NameServers []measure.NameServer
	Paths       []measure.Path
	Conflicts   []measure.Conflict
	// Err fails what can fail.
	Err error
}

// SetMeasured has measuring find something.
func (m *Machine) SetMeasured(found Measured) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measured = found
}

type measurements struct{ m *Machine }

func (r measurements) found() Measured {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.m.measured
}

func (r measurements) Sync(context.Context, string, time.Duration) (measure.Syncs, error) {
	return r.found().Syncs, r.found().Err
}

func (r measurements) Rooms(...string) ([]measure.Room, error) { return r.found().Rooms, r.found().Err }

func (r measurements) Listeners() ([]measure.Listener, error) {
	return r.found().Listeners, r.found().Err
}

func (r measurements) NameServers(context.Context, []string, string, time.Duration) []measure.NameServer {
	return r.found().NameServers
}

func (r measurements) Paths(context.Context, []netip.Addr) []measure.Path { return r.found().Paths }

func (r measurements) Conflicts(context.Context, []netip.Addr, time.Duration) []measure.Conflict {
	return r.found().Conflicts
}

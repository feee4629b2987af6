package resource

import (
	"context"
	"net/netip"
	"time"

	"github.com/kubewright/kubewright/internal/measure"
)

// Measure is what can be found out of the machine by trying.
type Measure interface {
	Sync(ctx context.Context, dir string, limit time.Duration) (measure.Syncs, error)
	Rooms(dirs ...string) ([]measure.Room, error)
	Listeners() ([]measure.Listener, error)
	NameServers(ctx context.Context, servers []string, name string, limit time.Duration) []measure.NameServer
	Paths(ctx context.Context, to []netip.Addr) []measure.Path
	Conflicts(ctx context.Context, own []netip.Addr, wait time.Duration) []measure.Conflict
}

// LocalMeasure measures the machine that this process runs on.
type LocalMeasure struct{}

// Sync is measure.Sync.
func (LocalMeasure) Sync(ctx context.Context, dir string, limit time.Duration) (measure.Syncs, error) {
	return measure.Sync(ctx, dir, limit)
}

// Rooms is measure.Rooms.
func (LocalMeasure) Rooms(dirs ...string) ([]measure.Room, error) { return measure.Rooms(dirs...) }

// Listeners is measure.Listeners.
func (LocalMeasure) Listeners() ([]measure.Listener, error) { return measure.Listeners("/proc") }

// NameServers is measure.AskNameServers.
func (LocalMeasure) NameServers(ctx context.Context, servers []string, name string, limit time.Duration) []measure.NameServer {
	return measure.AskNameServers(ctx, servers, name, limit)
}

// Paths is measure.Paths.
func (LocalMeasure) Paths(ctx context.Context, to []netip.Addr) []measure.Path {
	return measure.Paths(ctx, to)
}

// Conflicts is measure.Conflicts.
func (LocalMeasure) Conflicts(ctx context.Context, own []netip.Addr, wait time.Duration) []measure.Conflict {
	return measure.Conflicts(ctx, own, wait)
}

// SyncReport measures how long a disk takes to have something written. It finds measure.Syncs.
type SyncReport struct {
	Dir string `json:"dir"` // that will be on it, and need not be there
	// Limit of how long it is written to.
	Limit time.Duration `json:"limit"`
}

// ID is the directory.
func (r SyncReport) ID() ID { return ID{"sync", r.Dir} }

// Look writes to the disk.
func (r SyncReport) Look(ctx context.Context, env *Env) (any, error) {
	return env.Measure.Sync(ctx, r.Dir, r.Limit)
}

// RoomReport looks at what file systems have. It finds a list of measure.Room.
type RoomReport struct {
	Dirs []string `json:"dirs"`
}

// ID is the same everywhere.
func (r RoomReport) ID() ID { return ID{"room", "machine"} }

// Look asks the kernel.
func (r RoomReport) Look(_ context.Context, env *Env) (any, error) {
	return env.Measure.Rooms(r.Dirs...)
}

// ListenersReport looks at who has ports. It finds a list of measure.Listener.
type ListenersReport struct{}

// ID is the same everywhere.
func (r ListenersReport) ID() ID { return ID{"listeners", "machine"} }

// Look asks the kernel.
func (r ListenersReport) Look(_ context.Context, env *Env) (any, error) {
	return env.Measure.Listeners()
}

// NameServersReport asks name servers. It finds a list of measure.NameServer.
type NameServersReport struct {
	Servers []string `json:"servers"`
	// Name they are asked for; that they do not know it is an answer.
	Name  string        `json:"name"`
	Limit time.Duration `json:"limit"`
}

// ID is the same everywhere.
func (r NameServersReport) ID() ID { return ID{"name-servers", "machine"} }

// Look asks them.
func (r NameServersReport) Look(ctx context.Context, env *Env) (any, error) {
	return env.Measure.NameServers(ctx, r.Servers, r.Name, r.Limit), nil
}

// PathsReport sends packets to other machines. It finds a list of measure.Path.
type PathsReport struct {
	To []netip.Addr `json:"to"`
}

// ID is the same everywhere.
func (r PathsReport) ID() ID { return ID{"paths", "machine"} }

// Look sends them.
func (r PathsReport) Look(ctx context.Context, env *Env) (any, error) {
	return env.Measure.Paths(ctx, r.To), nil
}

// ConflictsReport asks who else has the machine's addresses. It finds a list of measure.Conflict.
type ConflictsReport struct {
	Own  []netip.Addr  `json:"own"`
	Wait time.Duration `json:"wait"`
}

// ID is the same everywhere.
func (r ConflictsReport) ID() ID { return ID{"conflicts", "machine"} }

// Look asks.
func (r ConflictsReport) Look(ctx context.Context, env *Env) (any, error) {
	return env.Measure.Conflicts(ctx, r.Own, r.Wait), nil
}

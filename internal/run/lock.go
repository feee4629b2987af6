package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
)

// LockHost is a host whose lock can be taken; agent.Client is one.
type LockHost interface {
	Lock(ctx context.Context, h agent.Holder) (busy *agent.Holder, err error)
	Unlock(ctx context.Context) error
}

// Keeper is a host whose lock counts. A run needs those of most of them.
type Keeper struct {
	Name string
	// Host is nil if it does not answer.
	Host LockHost
}

// BusyError is another run that has the locks.
type BusyError struct {
	Host   string
	Holder agent.Holder
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("another run holds the lock of %s: %s", e.Host, e.Holder)
}

// FewLocksError is that the locks of most keepers could not be had, because too few of them answer.
type FewLocksError struct {
	Keepers int // that there are
	Held    int // whose locks could be had
	Err     error
}

func (e *FewLocksError) Error() string {
	return fmt.Sprintf("the locks of most of the %d control-plane and etcd hosts are needed, so that no two runs change the cluster at once, but only %d could be had: %v",
		e.Keepers, e.Held, e.Err)
}

func (e *FewLocksError) Unwrap() error { return e.Err }

// lockPause is how long to wait before locks are tried again.
const lockPause = time.Second

// Lock takes the locks of most keepers, which come in the order of their addresses: two runs meet at the first host that both reach. It waits for another run
// as long as the context lasts, and says so. The locks end with the connections.
func Lock(ctx context.Context, keepers []Keeper, h agent.Holder, waiting func(*BusyError)) error {
	said := ""
	var last *BusyError
	for {
		busy, err := tryLock(ctx, keepers, h)
		if ctx.Err() != nil && last != nil {
			return fmt.Errorf("%w: %w", last, context.Cause(ctx))
		}
		if err != nil || busy == nil {
			return err
		}
		last = busy
		if s := busy.Error(); s != said {
			said = s
			waiting(busy)
		}
		timer := time.NewTimer(lockPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", busy, context.Cause(ctx))
		}
	}
}

// tryLock takes the locks of most keepers or none.
func tryLock(ctx context.Context, keepers []Keeper, h agent.Holder) (*BusyError, error) {
	var held []Keeper
	giveBack := func() {
		for _, k := range held {
			_ = k.Host.Unlock(ctx) // a connection that is gone has given it back
		}
	}
	var silent []error
	for _, k := range keepers {
		if k.Host == nil {
			silent = append(silent, fmt.Errorf("%s does not answer", k.Name))
			continue
		}
		busy, err := k.Host.Lock(ctx, h)
		var lost *agent.LostError
		switch {
		case busy != nil:
			giveBack()
			return &BusyError{k.Name, *busy}, nil
		case errors.As(err, &lost):
			silent = append(silent, err)
		case err != nil:
			giveBack()
			return nil, err
		default:
			held = append(held, k)
		}
	}
	if 2*len(held) <= len(keepers) {
		giveBack()
		return nil, &FewLocksError{len(keepers), len(held), errors.Join(silent...)}
	}
	return nil, nil
}

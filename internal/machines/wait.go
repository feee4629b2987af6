package machines

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Wait calls holds until it returns nil, at first after 5 ms, later every 100 ms, and until ctx ends. The error then says
// what was waited for, how long, and the last reason holds gave. A reason marked by Fatal ends the wait at once.
func Wait(ctx context.Context, what string, holds func(context.Context) error) error {
	start := time.Now()
	pause := 5 * time.Millisecond
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		var fatal fatalError
		if errors.As(err, &fatal) {
			return fmt.Errorf("waiting for %s: %w", what, fatal.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w (%w)", time.Since(start).Round(100*time.Millisecond), what, err, context.Cause(ctx))
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

// Fatal marks a reason that no waiting will cure.
func Fatal(err error) error { return fatalError{err} }

type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

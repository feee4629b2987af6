package machines

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitSaysWhatWasMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("longer than 3s"))
		defer cancel()
		err := Wait(ctx, "the moon", func(context.Context) error { return errors.New("it is cloudy") })
		if err == nil || !strings.Contains(err.Error(), "waited 3s for the moon: it is cloudy (longer than 3s)") {
			t.Error(err)
		}
	})
}

func TestWaitGoesOnUntilItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := Wait(t.Context(), "the third call", func(context.Context) error {
			if calls++; calls < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || calls != 3 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

func TestWaitEndsWithAFatalReason(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	err := Wait(t.Context(), "what cannot be", func(context.Context) error { calls++; return Fatal(broken) })
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

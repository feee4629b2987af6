package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

// TestOutcomes is what records of runs say of how they ended.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "done"},
		{errors.New("no route to host"), "failed"},
		{usageError{errors.New("there is no host m9")}, "failed"},
		{converge.ErrDeclined, "declined"},
		{fmt.Errorf("connecting: %w", context.Canceled), "interrupted"},
	} {
		var events []event.Event
		w := &work{events: func(v event.Event) { events = append(events, v) }}
		w.event(event.Event{Kind: event.RunStarted})
		w.end(c.err)
		if r := run.MakeReport(events); r.Outcome != c.want {
			t.Errorf("%v: %s, want %s", c.err, r.Outcome, c.want)
		}
	}
}

package converge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/plan"
)

// TestStatusTakesNoLock looks while another run has the locks and a host is dead, and leaves no trace.
func TestStatusTakesNoLock(t *testing.T) {
	calm(t, func(f *simFleet) {
		if err := apply(f.operator("a").options(1)); err != nil {
			t.Fatal(err)
		}
		f.hosts["c1"].die()
		before := f.states()
		busy, err := converge.Open(context.Background(), f.operator("b").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		err = busy.Apply(context.Background(), func(*plan.Plan) error {
			s, err := converge.Open(context.Background(), f.operator("c").with(nil))
			if err != nil {
				return err
			}
			defer s.Close()
			status, err := s.Status(context.Background())
			if err != nil || status.Well {
				t.Errorf("it is well: %t, %v", status.Well, err)
			}
			dead := false
			for _, found := range status.Findings {
				dead = dead || found.Host == "c1" && strings.HasPrefix(found.Message, "the host does not answer")
				if found.Host != "" && found.Host != "c1" && strings.Contains(found.Message, "does not answer") {
					t.Errorf("%s: %s", found.Host, found.Message)
				}
			}
			if !dead {
				t.Errorf("nobody says that c1 is silent: %+v", status.Findings)
			}
			if _, err := s.Issue(context.Background(), nil, time.Hour); err == nil || !strings.Contains(err.Error(), "c0: it has no API server") || !strings.Contains(err.Error(), "c1: the host does not answer") {
				t.Errorf("a certificate is had without an API: %v", err)
			}
			return converge.ErrDeclined
		})
		if !errors.Is(err, converge.ErrDeclined) {
			t.Error(err)
		}
		for host, state := range f.states() {
			for name, is := range state {
				if before[host][name] != is {
					t.Errorf("%s: %s changed", host, name)
				}
			}
		}
	})
}

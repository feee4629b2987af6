package resource

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatientlyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		env := &Env{Progress: func(message string) { said = append(said, message) }}
		start, tries := time.Now(), 0
		why, err := patiently(t.Context(), env, etcdPatience, func() (string, error) {
			if tries++; tries < 10 {
				return "one", nil
			}
			return "two", nil
		})
		if err != nil || why != "two" || time.Since(start) != etcdPatience || tries < 100 || !slices.Equal(said, []string{"one", "two"}) {
			t.Errorf("after %d tries in %v it returns %q, %v; it said %q", tries, time.Since(start), why, err, said)
		}
	})
}

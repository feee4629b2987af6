package agent

import (
	"testing"
	"time"
)

func TestClockOffset(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	const s = time.Second
	for name, c := range map[string]struct {
		machine       time.Time // when it answered
		took, byClock time.Duration
		least, most   time.Duration // that its clock may be ahead
	}{
		"at once":                                {now, 0, 0, 0, 0},
		"behind":                                 {now.Add(-5 * s), s / 2, s / 2, -5 * s, -9 * s / 2},
		"ahead":                                  {now.Add(5 * s), s / 2, s / 2, 5 * s, 11 * s / 2},
		"looked at first, and the way back took": {now.Add(-6 * s), 6 * s, 6 * s, -6 * s, 0},
		"looked at last, and all before took":    {now, 6 * s, 6 * s, 0, 6 * s},
		"the clock here was set by 10 s after the machine looked":      {now.Add(-10 * s), s, 11 * s, -10 * s, 0},
		"the clock here was set back by 10 s after the machine looked": {now.Add(10 * s), s, -9 * s, 0, 10 * s},
	} {
		offset, uncertain := clockOffset(c.machine, now, c.took, c.byClock)
		if offset-uncertain/2 > c.least || offset+uncertain/2 < c.most {
			t.Errorf("%s: it is %s to %s ahead; want %s to %s within that", name, offset-uncertain/2, offset+uncertain/2, c.least, c.most)
		}
		if c.took == c.byClock && uncertain > c.took {
			t.Errorf("%s: it is uncertain by %s", name, uncertain)
		}
	}
}

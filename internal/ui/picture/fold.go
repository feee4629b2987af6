package picture

import (
	"cmp"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/run"
)

// maxFull is how many hosts are drawn in full.
const maxFull = 24

// fold says which hosts are drawn in full, by name, and which in a thin line. When there are many, the former are those that tell where the time went:
// some that were longest on the critical path, some where something failed, and the last to end. Of the others, those where something failed come first,
// and then the last to end.
func fold(t *run.Timeline) (full, thin []*run.HostTimeline) {
	hosts := slices.SortedStableFunc(slices.Values(t.Hosts), func(a, b *run.HostTimeline) int { return compareNames(a.Name, b.Name) })
	if len(hosts) <= maxFull {
		return hosts, nil
	}
	critical := map[string]time.Duration{}
	for _, s := range t.Critical {
		critical[s.Host] += s.Elapsed
	}
	wait := func(h *run.HostTimeline) int64 { return int64(critical[h.Name]) }
	wrong := func(h *run.HostTimeline) int64 { return int64(failed(h)) }
	late := func(h *run.HostTimeline) int64 { return int64(ended(h)) }
	chosen := map[*run.HostTimeline]bool{}
	choose := func(upTo int, by func(*run.HostTimeline) int64, least int64) {
		for _, h := range most(hosts, by) {
			if len(chosen) < upTo && by(h) >= least {
				chosen[h] = true
			}
		}
	}
	choose(maxFull/3, wait, 1)
	choose(2*maxFull/3, wrong, 1)
	choose(maxFull, late, 0)
	for _, h := range hosts {
		if chosen[h] {
			full = append(full, h)
		} else {
			thin = append(thin, h)
		}
	}
	return full, most(most(thin, late), wrong)
}

// most sorts hosts by something, those first that have most of it.
func most(hosts []*run.HostTimeline, of func(*run.HostTimeline) int64) []*run.HostTimeline {
	return slices.SortedStableFunc(slices.Values(hosts), func(a, b *run.HostTimeline) int { return cmp.Compare(of(b), of(a)) })
}

// ended is when the last thing on a host did.
func ended(h *run.HostTimeline) time.Duration {
	var last time.Duration
	for _, s := range slices.Concat(h.Connecting, h.Steps) {
		last = max(last, s.End())
	}
	return last
}

// failed is how much did on a host.
func failed(h *run.HostTimeline) int {
	n := 0
	for _, s := range slices.Concat(h.Connecting, h.Steps) {
		if s.State == run.Failed {
			n++
		}
	}
	return n
}

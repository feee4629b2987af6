package e2e

import (
	"testing"
	"time"
)

// BenchmarkMachines measures what whoever tries something waits for: five machines until they answer over SSH, all of
// them back to fresh, one of them back to fresh, and all gone. The root file system exists.
func BenchmarkMachines(b *testing.B) {
	var up, resetAll, resetOne, down time.Duration
	f := newFixture(b, "bench")
	measure := func(sum *time.Duration, args ...string) {
		start := time.Now()
		must(b, kubewright, append([]string{"machines", "--set", f.Name()}, args...)...) // which, unlike f.machines, logs nothing
		*sum += time.Since(start)
	}
	f.machines(b, "up", "--count", "1")
	f.machines(b, "down", "--all")
	for b.Loop() {
		measure(&up, "up", "--count", "5")
		measure(&resetAll, "reset", "--all")
		measure(&resetOne, "reset", "m1")
		measure(&down, "down", "--all")
	}
	for name, sum := range map[string]time.Duration{"up-5": up, "reset-5": resetAll, "reset-1": resetOne, "down-5": down} {
		b.ReportMetric(sum.Seconds()/float64(b.N), name+"-s")
	}
}

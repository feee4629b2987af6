package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// lookUp asks the name server at $dns for the API's name, by TCP, as RFC 1035 has it: a length, a header, and the question for an address. CoreDNS repeats the name in its
// answer, of 108 bytes with the length, where that fits.
const lookUp = `exec 3<>/dev/tcp/$dns/53 && printf '\0\66\0\1\1\0\0\1\0\0\0\0\0\0\12kubernetes\7default\3svc\7cluster\5local\0\0\1\0\1' >&3 &&
	timeout 1 head -c 108 <&3 | od -An -tx1 | tr -d ' \n' | grep -q 0a600001 && echo answered`

// BenchmarkCluster measures what whoever builds a cluster waits for: five bare machines until all nodes are ready and names are answered, packages, programs and images
// included; and a plan and an apply that find nothing to do: the median of each. Where the time went is printed for each.
func BenchmarkCluster(b *testing.B) {
	f := newFixture(b, "cluster-bench")
	f.machines(b, "up", "--count", "5")
	o := newOperator(b, f, "")
	var ready, plan, again []time.Duration
	for b.Loop() {
		b.StopTimer()
		f.machines(b, "reset", "--all")
		b.StartTimer()
		start := time.Now()
		o.must(b, "apply", "--yes")
		o.eventually(b, "all nodes to be ready", kubectl+"get nodes --no-headers | grep -cw Ready", "5")
		o.eventually(b, "names to be answered", `dns=$(`+kubectl+`-n kube-system get service kube-dns -o jsonpath={.spec.clusterIP}) && `+lookUp, "answered")
		ready = append(ready, time.Since(start))
		b.StopTimer()
		b.Log(o.must(b, "runs", "show"))
		start = time.Now()
		o.must(b, "plan")
		plan = append(plan, time.Since(start))
		start = time.Now()
		if got := o.must(b, "apply", "--yes"); !strings.Contains(got, "nothing to do") {
			b.Errorf("a second apply says:\n%s", got)
		}
		again = append(again, time.Since(start))
		b.StartTimer()
	}
	for name, all := range map[string][]time.Duration{"ready": ready, "plan-again": plan, "apply-again": again} {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2].Seconds(), name+"-median-s")
	}
}

package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/run"
)

var update = flag.Bool("update", false, "write the golden files anew")

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at makes an event some seconds after the beginning.
func at(seconds float64, v event.Event) event.Event {
	v.Time = began.Add(time.Duration(seconds * float64(time.Second)))
	return v
}

// eventful is a run in which all happens that a picture shows: it waits for another run, m1 and m2 do what they are to in two rounds, m2 after it was
// lost, m3 does not answer, m4 fails, m5 waits for its turn and is interrupted.
var eventful = []event.Event{
	at(0, event.Event{Kind: event.RunStarted, Message: "apply prod"}),
	at(0.1, event.Event{Kind: event.HostConnecting, Host: "m1", Message: "connecting"}),
	at(0.1, event.Event{Kind: event.HostConnecting, Host: "m2", Message: "connecting"}),
	at(0.1, event.Event{Kind: event.HostConnecting, Host: "m3", Message: "connecting"}),
	at(0.8, event.Event{Kind: event.HostConnecting, Host: "m1", Message: "uploading the agent (23.5 MB)"}),
	at(2, event.Event{Kind: event.HostConnected, Host: "m1", Elapsed: 1900 * time.Millisecond}),
	at(2, event.Event{Kind: event.HostConnected, Host: "m2", Elapsed: 1900 * time.Millisecond}),
	at(2, event.Event{Kind: event.HostConnected, Host: "m4", Elapsed: 1900 * time.Millisecond}),
	at(2, event.Event{Kind: event.HostConnected, Host: "m5", Elapsed: 1900 * time.Millisecond}),
	at(5, event.Event{Kind: event.HostFailed, Host: "m3", Error: "m3: dialling 10.0.0.13:22: no route to host"}),
	at(5, event.Event{Kind: event.LockWaiting, Host: "m1", Message: "waiting: ann is applying prod from desk"}),
	at(8, event.Event{Kind: event.LockTaken}),
	at(10, event.Event{Kind: event.RoundStarted, Total: 7}),
	at(10, event.Event{Kind: event.StepFailed, Host: "m4", Step: "time", Error: "m4: file /etc/chrony/chrony.conf: what is there could not be found out"}),
	at(10, event.Event{Kind: event.StepStarted, Host: "m1", Step: "runtime"}),
	at(10, event.Event{Kind: event.StepStarted, Host: "m2", Step: "runtime"}),
	at(10, event.Event{Kind: event.StepStarted, Host: "m4", Step: "runtime"}),
	at(10.5, event.Event{Kind: event.ResourceDone, Host: "m1", Step: "runtime", Resource: "file /etc/containerd/config.toml", Elapsed: 200 * time.Millisecond}),
	at(14, event.Event{Kind: event.ResourceDone, Host: "m1", Step: "runtime", Resource: "program containerd", Elapsed: 3500 * time.Millisecond}),
	at(14, event.Event{Kind: event.StepWaiting, Host: "m1", Step: "runtime", Message: "runtime-answers containerd: connection refused"}),
	at(16, event.Event{Kind: event.StepDone, Host: "m1", Step: "runtime"}),
	at(17, event.Event{Kind: event.StepFailed, Host: "m4", Step: "runtime", Error: "m4: program containerd: no space left on device"}),
	at(17, event.Event{Kind: event.StepSkipped, Host: "m4", Step: "kubelet", Message: "runtime: m4 runtime: program containerd: no space left on device"}),
	at(18, event.Event{Kind: event.HostLost, Host: "m2"}),
	at(18, event.Event{Kind: event.StepRetried, Host: "m2", Step: "runtime", Message: "m2: its connection ended"}),
	at(19, event.Event{Kind: event.HostConnecting, Host: "m2", Message: "connecting"}),
	at(20, event.Event{Kind: event.HostConnected, Host: "m2", Elapsed: time.Second}),
	at(20, event.Event{Kind: event.ResourceStarted, Host: "m2", Step: "runtime", Resource: "program containerd"}),
	at(24, event.Event{Kind: event.ResourceDone, Host: "m2", Step: "runtime", Resource: "program containerd", Elapsed: 4 * time.Second}),
	at(24, event.Event{Kind: event.StepDone, Host: "m2", Step: "runtime"}),
	at(24, event.Event{Kind: event.StepStarted, Host: "m1", Step: "control plane", After: "m2 runtime"}),
	at(32, event.Event{Kind: event.StepDone, Host: "m1", Step: "control plane"}),
	at(34, event.Event{Kind: event.RoundStarted, Total: 2}),
	at(34, event.Event{Kind: event.StepStarted, Host: "m1", Step: "kubelet"}),
	at(38, event.Event{Kind: event.StepDone, Host: "m1", Step: "kubelet"}),
	at(38, event.Event{Kind: event.StepStarted, Host: "m5", Step: "kubelet"}),
	at(40, event.Event{Kind: event.RunInterrupted, Message: "finishing what is in hand; interrupt again to cut it off"}),
	at(42, event.Event{Kind: event.RunDone, Error: "interrupted"}),
}

// drawn is a run as its page.
func drawn(t *testing.T, events []event.Event) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, "20260301-120000-aaaaaa", run.MakeTimeline(events)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPicture(t *testing.T) {
	got := drawn(t, eventful)
	const golden = "testdata/eventful.golden.html"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it anew:\n%s", golden, strings.Join(resource.DiffLines(string(want), got), "\n"))
	}
}

// TestHostile has what hosts, files and people said come out as text, and as nothing else.
func TestHostile(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `]]></script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
		`</title></svg></style><b>`,
		`{{.Chart}}`, `javascript:alert(1)`, `&lt;b&gt;&#60;b>`, "<!--", "\x1b[31mred\x00", "\u202eder", "\xff\xfe",
	} {
		events := slices.Clone(eventful)
		for i, v := range events {
			for _, field := range []*string{&v.Host, &v.Step, &v.Resource, &v.Message, &v.Error} {
				if *field != "" {
					*field += hostile
				}
			}
			if v.After != "" {
				v.After = "m2" + hostile + " runtime" + hostile
			}
			events[i] = v
		}
		got := drawn(t, events)
		elements, text := parse(t, got)
		want, _ := parse(t, drawn(t, eventful))
		if !maps.Equal(kinds(elements), kinds(want)) {
			t.Errorf("with %q there are %v, not %v", hostile, kinds(elements), kinds(want))
		}
		for _, part := range []string{"apply prod", "no space left on device", "runtime-answers containerd: connection refused", "program containerd"} {
			if said := part + shown(hostile); !strings.Contains(text, said) {
				t.Errorf("%q is not shown", said)
			}
		}
	}
}

// shown is a text without what has no place in pages.
func shown(text string) string {
	return strings.NewReplacer("\x1b", "\ufffd", "\x00", "\ufffd", "\u202e", "\ufffd", "\xff\xfe", "\ufffd").Replace(text)
}

// kinds are elements and attributes, however many there are of each.
func kinds(elements map[string]int) map[string]bool {
	all := map[string]bool{}
	for name := range elements {
		all[name] = true
	}
	return all
}

// parse reads a page, says which elements with which attributes it has, and all its text. It fails if elements are not nested.
func parse(t *testing.T, page string) (elements map[string]int, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(page, "<!doctype html>")))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	elements = map[string]int{}
	var all strings.Builder
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				elements[token.Name.Local+" "+a.Name.Local]++
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("%s ends within %v", token.Name.Local, open)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			all.Write(token)
		}
	}
	if len(open) > 0 {
		t.Errorf("%v are not ended", open)
	}
	return elements, all.String()
}

// fleet is a run on many hosts, ten steps each, the last of them at most 20 at once. One in a hundred fails at its sixth, and one is 7 s slower.
func fleet(hosts int) []event.Event {
	var events []event.Event
	add := func(seconds float64, v event.Event) { events = append(events, at(seconds, v)) }
	add(0, event.Event{Kind: event.RunStarted, Message: "apply prod"})
	for i := range hosts {
		add(2, event.Event{Kind: event.HostConnected, Host: fmt.Sprintf("worker%d", i), Elapsed: time.Second})
	}
	add(3, event.Event{Kind: event.RoundStarted, Total: 10 * hosts})
	for i := range hosts {
		host, begin := fmt.Sprintf("worker%d", i), 3+float64(i)/1000
		for n := range 10 {
			step, took := fmt.Sprintf("step %d", n), 1+float64((i*7+n*3)%11)/10
			if i == hosts/2 && n == 3 {
				took += 7
			}
			if n == 9 {
				begin = max(begin, 25+float64(i/20)*3)
			}
			v := event.Event{Host: host, Step: step}
			if n > 0 {
				v.After = fmt.Sprintf("%s step %d", host, n-1)
			}
			v.Kind = event.StepStarted
			add(begin, v)
			for r := range 5 {
				v := event.Event{Kind: event.ResourceDone, Host: host, Step: step, Resource: fmt.Sprintf("file /etc/containerd/%d.toml", r), Elapsed: 100 * time.Millisecond}
				add(begin+took*float64(r+1)/6, v)
			}
			begin += took
			if i%100 == 99 && n == 5 {
				add(begin, event.Event{Kind: event.StepFailed, Host: host, Step: step, Error: host + ": no space left on device"})
				break
			}
			add(begin, event.Event{Kind: event.StepDone, Host: host, Step: step})
		}
	}
	slices.SortStableFunc(events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	return append(events, event.Event{Time: events[len(events)-1].Time.Add(time.Second), Kind: event.RunDone, Error: "not everything is as it shall be"})
}

// TestManyHosts has all of 500 in a page of a size that browsers are used to.
func TestManyHosts(t *testing.T) {
	events := fleet(500)
	page := drawn(t, events)
	if len(page) > 500_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if _, text := parse(t, page); !strings.Contains(text, "worker99, worker199, worker299, worker399, worker499: step 5") {
		t.Error("it does not say which failed alike")
	}
	c := draw(run.MakeTimeline(events))
	if len(c.Rows) != 1+maxFull || len(c.Thin.Rows) != 500-maxFull || c.Thin.Name+": "+c.Thin.Tell != "476 more: one line each, the last to end first; half of them ended by 1m2s" {
		t.Fatalf("%d are drawn in full, %d thinly as %s: %s", len(c.Rows), len(c.Thin.Rows), c.Thin.Name, c.Thin.Tell)
	}
	below := 0
	for _, r := range c.Rows {
		for _, b := range r.Bars {
			if b.Y < below {
				t.Errorf("a bar of %s is at %d, within the row above", r.Name, b.Y)
			}
		}
		for _, b := range r.Bars {
			below = max(below, b.Y+barHeight)
		}
	}
	for _, r := range c.Thin.Rows {
		if r.Y < below || len(r.Segments) == 0 {
			t.Errorf("a line is at %d, within what is above it, with %d segments", r.Y, len(r.Segments))
		}
		below = r.Y + thinHeight
	}
	if below > c.Height {
		t.Errorf("lines go to %d of %d", below, c.Height)
	}
	many := &run.Timeline{Elapsed: 10 * time.Second}
	for i := range maxFull + maxThin + 7 {
		h := &run.HostTimeline{Name: fmt.Sprintf("worker%d", i), Connecting: []*run.Span{{Spent: run.Spent{Elapsed: time.Duration(i) * time.Millisecond}}}}
		many.Hosts = append(many.Hosts, h)
	}
	for _, h := range many.Hosts[100:200] {
		h.Connecting[0].State = run.Failed
	}
	if c := draw(many); len(c.Thin.Rows) != maxThin || !strings.HasPrefix(c.Thin.Tell, "one line each, those where something failed first, then the last to end; half of them ended by 1.0s") || !strings.Contains(c.Thin.Tell, "the 7 that ended first are left out") {
		t.Errorf("of very many there are %d lines: %s", len(c.Thin.Rows), c.Thin.Tell)
	}
}

func TestFold(t *testing.T) {
	timeline := run.MakeTimeline(fleet(500))
	full, thin := fold(timeline)
	var names []string
	for _, h := range full {
		names = append(names, h.Name)
	}
	if !slices.IsSortedFunc(names, compareNames) {
		t.Errorf("in full there are %q", names)
	}
	path := map[string]bool{}
	for _, s := range timeline.Critical {
		path[s.Host] = true
	}
	if on := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !path[name] }); len(on) < maxFull/3 || !slices.Contains(on, "worker250") {
		t.Errorf("on the critical path are %d; in full there are %q of them", len(path), on)
	}
	for _, name := range []string{"worker99", "worker199", "worker299", "worker399", "worker499"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s failed, and is not among %q", name, names)
		}
	}
	if !slices.IsSortedFunc(thin, func(a, b *run.HostTimeline) int { return int(ended(b) - ended(a)) }) {
		t.Error("the thin ones do not come as they ended")
	}
	few := run.MakeTimeline(fleet(maxFull))
	if full, thin := fold(few); len(full) != maxFull || len(thin) != 0 {
		t.Errorf("of %d, %d are drawn in full", maxFull, len(full))
	}
}

// TestLanes has no bar cover another, and what is critical in the first lane.
func TestLanes(t *testing.T) {
	var spans []*run.Span
	for i := range 60 { // some at once, some of no length
		spans = append(spans, &run.Span{Spent: run.Spent{Begin: time.Duration(i*37%20) * time.Second, Elapsed: time.Duration(i%4) * time.Second}})
	}
	for i := range 5 {
		spans = append(spans, &run.Span{Spent: run.Spent{Begin: time.Duration(4*i) * time.Second, Elapsed: 4 * time.Second}, Critical: i + 1})
	}
	placed := 0
	for i, lane := range pack(spans) {
		for j, s := range lane {
			placed++
			if s.Critical > 0 && i > 0 {
				t.Errorf("what is critical is in lane %d", i)
			}
			if j > 0 && (lane[j-1].End() > s.Begin || lane[j-1].Begin == s.Begin) {
				t.Errorf("in lane %d, what begins at %s covers what ends at %s", i, s.Begin, lane[j-1].End())
			}
		}
	}
	if placed != len(spans) {
		t.Errorf("%d of %d are drawn", placed, len(spans))
	}
}

func TestPlace(t *testing.T) {
	for name, c := range map[string]struct {
		within, right, taken float64
		want                 label
	}{
		"within":                 {0.4, 0.4, 0, label{"kubelet", false, "w300"}},
		"outside":                {0.01, 0.5, 0, label{"kubelet", true, "w300"}},
		"outside of what is cut": {0.04, 0.05, 0, label{"kubelet", true, "w1200"}},
		"cut":                    {0.04, 0.01, 0, label{"kubelet", false, "w800"}},
		"beside another":         {0.01, 0.5, 300, label{"kubelet", true, "w800"}},
		"nowhere":                {0.0001, 0.0001, 0, label{"kubelet", false, ""}},
	} {
		if got := place("kubelet", leastLabel, c.within, c.right, c.taken); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	for _, w := range labelWidths {
		if rule := fmt.Sprintf("@container (min-width: %dpx) { .plot text.w%d { display: inline } }", w, w); !strings.Contains(page, rule) {
			t.Errorf("the page has no rule for labels of charts of %d pixels", w)
		}
	}
}

func TestTicks(t *testing.T) {
	for total, want := range map[time.Duration]string{
		time.Millisecond:       "",
		900 * time.Millisecond: "200ms 400ms 600ms 800ms",
		138 * time.Second:      "20s 40s 1m 1m20s 1m40s 2m",
		25 * time.Minute:       "5m 10m 15m 20m",
		5 * time.Hour:          "1h 2h 3h 4h",
		1000 * time.Hour:       "125h 250h 375h 500h 625h 750h 875h",
	} {
		var got []string
		for _, k := range ticks(total) {
			got = append(got, k.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s has %q, want %q", total, got, want)
		}
	}
}

func TestMarks(t *testing.T) {
	timeline := &run.Timeline{Rounds: []time.Duration{10 * time.Second, 12 * time.Second, 70 * time.Second}, Interrupts: []time.Duration{95 * time.Second}}
	var got []string
	for _, m := range marks(timeline, 100*time.Second) {
		got = append(got, fmt.Sprintf("%s %s %t %t", m.X, m.Text, m.Named, m.Left))
	}
	want := []string{"10% round 1 true false", "12% round 2 false false", "70% round 3 true false", "95% interrupted true true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUnion(t *testing.T) {
	s := func(begin, elapsed int) run.Pause {
		return run.Pause{Begin: time.Duration(begin) * time.Millisecond, Elapsed: time.Duration(elapsed) * time.Millisecond}
	}
	got := union([]run.Pause{s(5000, 1000), s(1000, 2000), s(2000, 100), s(3005, 500), s(9900, 500)}, 10*time.Second)
	want := [][2]float64{{0.1, 0.3505}, {0.5, 0.6}, {0.99, 1}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNames(t *testing.T) {
	sorted := []string{"", "a", "a1", "a01b", "a2", "a10", "a10b", "b"}
	for i := range sorted {
		for j := range sorted {
			if got, want := compareNames(sorted[i], sorted[j]), i-j; (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("%q and %q: %d", sorted[i], sorted[j], got)
			}
		}
	}
	for name, want := range map[string]string{
		"worker007": "worker007", "prod-eu-west-worker-0123": "prod-eu…ker-0123", "éééééééééééééééééé": "ééééééé…éééééééé"} {
		if got := shorten(name, 16); got != want {
			t.Errorf("%s is shortened to %s, want %s", name, got, want)
		}
	}
	for text, want := range map[string]string{"short": "short", "no route to host": "no route…", "two\nlines": "two…"} {
		if got := cut(text, 9); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

// TestDamaged has records that tell little, or nonsense, drawn as far as they go.
func TestDamaged(t *testing.T) {
	backwards := slices.Clone(eventful)
	slices.Reverse(backwards)
	noTime := slices.Clone(eventful)
	for i := range noTime {
		noTime[i].Time = began
	}
	for name, events := range map[string][]event.Event{
		"none": nil, "one": eventful[:1], "killed": eventful[:26], "backwards": backwards, "no time": noTime, "no beginning": eventful[20:],
	} {
		page := drawn(t, events)
		if _, text := parse(t, page); !strings.Contains(text, "Where the time went") {
			t.Errorf("%s: the page is\n%s", name, page)
		}
		for _, wrong := range []string{"NaN", "Inf", ` x="-`, ` width="-`, ` height="-`, "%!"} {
			if strings.Contains(page, wrong) {
				t.Errorf("%s: there is %q in the page", name, wrong)
			}
		}
	}
}

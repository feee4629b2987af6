// Package picture draws a run as one file of HTML that needs nothing else: a line of time for each host, and in words what the end waited for. It has no
// script. It knows timelines, and nothing of where they come from or where the file goes.
package picture

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
)

//go:embed picture.html
var page string

// Write draws a run, given its ID.
func Write(w io.Writer, id string, t *run.Timeline) error {
	parsed, err := template.New("picture").Parse(page)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := parsed.Execute(&b, describe(id, t)); err != nil {
		return err
	}
	_, err = w.Write(bytes.Map(visible, bytes.ToValidUTF8(b.Bytes(), []byte("\ufffd"))))
	return err
}

// visible has control characters, which hosts may say, shown as unknown ones: they have no place in pages, and some turn text around.
func visible(r rune) rune {
	if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Bidi_Control) {
		return '\ufffd'
	}
	return r
}

// What is told at most of one thing.
const (
	maxFailures  = 20 // that differ
	maxNames     = 8  // of hosts or steps in a line
	maxResources = 12 // of a step
	maxSaid      = 6  // of what a step waited for, or a connection went through: the last of it
	maxCompared  = 12 // names of steps
	maxLongest   = 3  // of the critical path, in the sentence at the top
	maxParts     = 3  // resources of each step on it
)

// maxWhy is how much of the reason of a wait stands on the critical path, in characters; all of it is told to who points at the bar.
const maxWhy = 120

// What a resource, and a wait, has to have taken to be listed below its step.
const (
	leastPart = 100 * time.Millisecond
	leastWait = time.Second
)

// described is what the page shows.
type described struct {
	ID, What, Outcome, Elapsed, Began, Counts string
	// Longest says what the end waited longest for.
	Longest      string
	Failed       bool
	Failures     []failure
	MoreFailures int
	NotBegun     string
	Skipped      []string
	Error        string
	Chart        chart
	Critical     []critical
	Slowest      []slow
	Compared     []compared
}

// failure is what failed alike on some hosts.
type failure struct{ Where, Error string }

// critical is a step on the critical path.
type critical struct {
	Place                      int
	At, Took, Host, What, Note string
	// Share of what took longest.
	Share string
	Parts []slow
}

// slow is what took time.
type slow struct{ Took, Host, What string }

// compared is how long a step took on hosts that all have it.
type compared struct {
	Step                          string
	Hosts                         int
	Typical, Longest, LongestHost string
}

func describe(id string, t *run.Timeline) described {
	r := t.Report()
	hosts := count(len(t.Hosts), "host")
	if unmet := len(t.Hosts) - r.Hosts; unmet > 0 {
		hosts += fmt.Sprintf(", %d of them never connected to", unmet)
	}
	d := described{
		ID: id, What: cmp.Or(r.What, "a run"), Outcome: r.Outcome, Elapsed: "after " + ui.Seconds(r.Elapsed), Began: r.Started.UTC().Format("2006-01-02 15:04:05 UTC"),
		Failed: r.Outcome == "failed", Error: r.Error,
		Counts: fmt.Sprintf("%s · %s done, %d failed, %d not begun · %s", hosts, count(r.Done, "step"), r.Failed, r.Skipped, count(r.Rounds, "round")),
		Chart:  draw(t), Compared: compare(t), NotBegun: count(r.Skipped, "step"),
	}
	if r.Outcome == "done" {
		d.Elapsed = "in " + ui.Seconds(r.Elapsed)
	}
	d.Failures = failures(r)
	if more := len(d.Failures) - maxFailures; more > 0 {
		d.Failures, d.MoreFailures = d.Failures[:maxFailures], more
	}
	d.Skipped = skipped(t)
	d.Critical, d.Longest = path(t)
	for _, s := range r.Slowest {
		d.Slowest = append(d.Slowest, slow{ui.Seconds(s.Elapsed), s.Host, s.Step + ": " + s.Resource})
	}
	return d
}

// path is the critical path, and what took longest of it in words.
func path(t *run.Timeline) ([]critical, string) {
	longestFirst := slices.SortedStableFunc(slices.Values(t.Critical), func(a, b *run.Span) int { return byElapsed(a.Spent, b.Spent) })
	var longest []string
	for _, s := range longestFirst[:min(len(longestFirst), maxLongest)] {
		longest = append(longest, name(s)+" ("+ui.Seconds(s.Elapsed)+")")
	}
	var all []critical
	for i, s := range t.Critical {
		c := critical{
			Place: i + 1, At: ui.Seconds(s.Begin), Took: ui.Seconds(s.Elapsed), Host: s.Host, What: s.Step, Note: note(s),
			Share: percent(share(s.Elapsed, longestFirst[0].Elapsed)),
		}
		for _, part := range parts(s) {
			c.Parts = append(c.Parts, slow{Took: ui.Seconds(part.Elapsed), What: part.Resource})
		}
		all = append(all, c)
	}
	return all, strings.Join(longest, ", ")
}

// skipped are the steps of each host that were not begun, with why.
func skipped(t *run.Timeline) []string {
	var all []string
	for _, h := range t.Hosts {
		if len(h.Skipped) == 0 {
			continue
		}
		if len(all) == maxFailures {
			return append(all, "and on other hosts")
		}
		var steps []string
		for _, s := range h.Skipped {
			steps = append(steps, s.Step)
		}
		line := h.Name + ": " + some(steps)
		if why := h.Skipped[0].Message; why != "" {
			line += " (" + why + ")"
		}
		all = append(all, line)
	}
	return all
}

// failures are what failed, with those together that are alike but for their hosts.
func failures(r run.Report) []failure {
	type alike struct{ step, err string }
	hosts := map[alike][]string{}
	var order []alike
	for _, v := range r.Failures {
		a := alike{v.Step, reason(v.Host, v.Error)}
		if hosts[a] == nil {
			order = append(order, a)
		}
		hosts[a] = append(hosts[a], v.Host)
	}
	var all []failure
	for _, a := range order {
		slices.SortFunc(hosts[a], compareNames)
		where := some(hosts[a])
		if a.step != "" {
			where += ": " + a.step
		}
		all = append(all, failure{where, a.err})
	}
	return all
}

// name is what a step and its host are called in a sentence.
func name(s *run.Span) string {
	if s.Host == "" {
		return s.Step
	}
	return s.Step + " on " + s.Host
}

// note says of a step what else took its time.
func note(s *run.Span) string {
	var notes []string
	if s.State == run.Failed {
		notes = append(notes, "failed")
	}
	if w := waited(s); w > 0 {
		notes = append(notes, "of it waiting: "+ui.Seconds(w))
	}
	if len(s.Retries) > 0 {
		notes = append(notes, "tried again: "+times(len(s.Retries)))
	}
	if s.Turn > 0 {
		notes = append(notes, "had waited for its turn: "+ui.Seconds(s.Turn))
	}
	return strings.Join(notes, "; ")
}

func waited(s *run.Span) time.Duration {
	var w time.Duration
	for _, one := range s.Waits {
		w += one.Elapsed
	}
	return w
}

// parts are what of a step took longest, and what it waited longest for.
func parts(s *run.Span) []run.Spent {
	var all []run.Spent
	for _, r := range s.Resources {
		if r.Elapsed >= leastPart {
			all = append(all, r)
		}
	}
	longest := run.Spent{Elapsed: leastWait}
	for _, w := range s.Waits {
		if w.Elapsed >= longest.Elapsed {
			longest = run.Spent{Resource: "waiting: " + cut(w.Why, maxWhy), Elapsed: w.Elapsed}
		}
	}
	slices.SortStableFunc(all, byElapsed)
	all = all[:min(len(all), maxParts)]
	if longest.Resource != "" {
		all = append(all, longest)
		slices.SortStableFunc(all, byElapsed)
	}
	return all
}

// byElapsed puts first what took longest.
func byElapsed(a, b run.Spent) int { return cmp.Compare(b.Elapsed, a.Elapsed) }

// compare is how long steps took that several hosts have, those first that took longest.
func compare(t *run.Timeline) []compared {
	byName := map[string][]*run.Span{}
	for _, h := range t.Hosts {
		for _, s := range h.Steps {
			if s.State == run.Done {
				byName[s.Step] = append(byName[s.Step], s)
			}
		}
	}
	shortest := func(a, b *run.Span) int { return cmp.Compare(a.Elapsed, b.Elapsed) }
	last := func(name string) *run.Span { return byName[name][len(byName[name])-1] }
	var names []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if len(byName[name]) > 1 {
			slices.SortStableFunc(byName[name], shortest)
			names = append(names, name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return shortest(last(b), last(a)) })
	var all []compared
	for _, name := range names[:min(len(names), maxCompared)] {
		n := len(byName[name])
		all = append(all, compared{name, n, ui.Seconds(byName[name][n/2].Elapsed), ui.Seconds(last(name).Elapsed), last(name).Host})
	}
	return all
}

// some are the first of names, and how many more there are.
func some(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// percent writes a share of 1 as SVG and CSS have it.
func percent(share float64) string {
	s := fmt.Sprintf("%.2f", 100*min(max(share, 0), 1))
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

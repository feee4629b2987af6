package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/resource"
)

// TextOptions are how a plan is written for people.
type TextOptions struct {
	// Lines of each file that are shown at most; 0 is all.
	Lines int
	// Notes says whether what cannot be done and is harmless is shown, or only counted.
	Notes bool
	// Color says that the terminal has colours.
	Color bool
}

// Colours of ECMA-48.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

type textWriter struct {
	w   io.Writer
	o   TextOptions
	err error
}

func (t *textWriter) printf(color, format string, args ...any) {
	if t.err != nil {
		return
	}
	s := fmt.Sprintf(format, args...)
	if t.o.Color && color != "" {
		s = color + strings.TrimSuffix(s, "\n") + plain + s[len(strings.TrimSuffix(s, "\n")):]
	}
	_, t.err = io.WriteString(t.w, s)
}

// Text writes a plan for people: first on a few lines what it comes to, then by host and step, changed lines of files, why something restarts, what is
// unknown. What is the same as on a host before is only counted; what is new is only named, unless all lines are asked for.
func (p *Plan) Text(w io.Writer, o TextOptions) error {
	t := &textWriter{w: w, o: o}
	for _, name := range p.Hosts {
		if why, ok := p.Missing[name]; ok {
			t.printf(red, "%s is missing: %s\n", name, strings.TrimPrefix(why, name+": "))
		}
	}
	t.problems(p)
	t.overview(p)
	t.twice(p)
	shown := map[string]string{} // step and change → the host that it was shown for
	host := ""
	for i := range p.Steps {
		s := &p.Steps[i]
		if !s.Work() && len(s.Unknown)+len(s.Blocked) == 0 {
			continue
		}
		if s.Host != host {
			host = s.Host
			t.printf(bold, "\n%s\n", host)
		}
		t.printf("", "  %s\n", s.Name)
		t.step(s, shown)
	}
	t.notes(p)
	t.summary(p)
	return t.err
}

// problems are written once each, with the hosts that have them.
func (t *textWriter) problems(p *Plan) {
	hosts := map[Problem][]string{}
	var order []Problem
	for _, q := range p.Problems {
		if q.Careful || q.harmless() && !t.o.Notes {
			continue // twice says what deserves a second look
		}
		host := q.Host
		q.Host = ""
		if hosts[q] == nil {
			order = append(order, q)
		}
		hosts[q] = append(hosts[q], host)
	}
	for _, q := range order {
		color, word := yellow, "Note"
		if q.Blocks {
			color, word = red, "Problem"
		}
		who := some(hosts[q])
		if who != "" {
			who += ": "
		}
		t.printf(color, "%s: %s%s\n", word, who, q)
	}
}

// some are a few names, and how many more there are.
func some(names []string) string {
	const many = 5
	if len(names) > many {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:many], ", "), len(names)-many)
	}
	return strings.Join(names, ", ")
}

func (t *textWriter) step(s *StepChange, shown map[string]string) {
	same, like := 0, ""
	for _, r := range s.Changes {
		key, err := json.Marshal(r)
		if err != nil {
			t.err = err
			return
		}
		k := s.Name + "\x00" + string(key)
		if h, ok := shown[k]; ok && h != s.Host {
			same++
			like = h
			continue
		}
		shown[k] = s.Host
		t.change(r)
	}
	if same > 0 {
		t.printf("", "    … %s as on %s\n", plural(same, "change"), like)
	}
	for _, r := range s.Blocked {
		t.printf(red, "    ! %s cannot be made so: %s\n", r.Resource, r.Text)
	}
	for i, r := range s.Unknown {
		// When an API server does not answer, all that lies there is unknown for the same reason.
		if more := len(s.Unknown) - i; i > 0 && more > 1 && !t.o.Notes {
			t.printf(red, "    ? %s unknown, too; --full shows all\n", verb(more, "more is", "more are"))
			break
		}
		t.printf(red, "    ? %s is unknown: %s\n", r.Resource, r.Text)
	}
	for _, r := range s.Unwell {
		if len(s.Changes) == 0 {
			t.printf(yellow, "    ! not well, although all is in place: %s: %s\n", r.Resource, r.Text)
		}
	}
}

func (t *textWriter) change(r ResourceChange) {
	switch r.Action {
	case Create:
		if t.o.Lines > 0 {
			n := 0
			for _, c := range r.Changes {
				n += len(c.Lines)
			}
			lines := ""
			if n > 0 {
				lines = " (" + plural(n, "line") + ")"
			}
			t.printf(green, "    + %s%s\n", r.Resource, lines)
			return
		}
		t.printf(green, "    + %s\n", r.Resource)
	case Remove:
		t.printf(red, "    - %s\n", r.Resource)
		return
	default:
		t.printf(yellow, "    ~ %s\n", r.Resource)
	}
	for _, c := range r.Changes {
		if r.Action != Create || c.What != "present" && len(c.Lines) == 0 || c.Why != "" { // that it is new says it
			color := ""
			if c.Disturbs {
				color = yellow
			}
			t.printf(color, "        %s\n", c)
		}
		t.lines(c)
	}
}

func (t *textWriter) lines(c resource.Change) {
	lines := c.Lines
	more := 0
	if t.o.Lines > 0 && len(lines) > t.o.Lines {
		more = len(lines) - t.o.Lines
		lines = lines[:t.o.Lines]
	}
	for _, l := range lines {
		color := ""
		switch {
		case strings.HasPrefix(l, "+"):
			color = green
		case strings.HasPrefix(l, "-"):
			color = red
		}
		t.printf(color, "        %s\n", l)
	}
	if more > 0 {
		t.printf("", "        … %s more; --full shows all\n", plural(more, "line"))
	}
}

// notes are written once each, with the hosts that they are about.
func (t *textWriter) notes(p *Plan) {
	hosts := map[Remark][]string{}
	var order []Remark
	for i := range p.Steps {
		for _, n := range p.Steps[i].Notes {
			if hosts[n] == nil {
				order = append(order, n)
			}
			hosts[n] = append(hosts[n], p.Steps[i].Host)
		}
	}
	if !t.o.Notes {
		n := len(order)
		seen := map[string]bool{}
		for _, q := range p.Problems {
			if q.harmless() && !seen[q.Message] {
				seen[q.Message] = true
				n++
			}
		}
		if n > 0 {
			t.printf("", "\n%s of these hosts cannot be changed, or need not be, which is harmless; --full says what and why.\n", verb(n, "thing", "things"))
		}
		return
	}
	if len(order) == 0 {
		return
	}
	t.printf("", "\nTo know:\n")
	for _, n := range order {
		t.printf("", "  %s: %s (%s)\n", n.Resource, n.Text, some(hosts[n]))
	}
}

func (t *textWriter) summary(p *Plan) {
	n := p.Counts()
	if p.Empty() {
		said := ", everything is as it shall be"
		if slices.ContainsFunc(p.Problems, func(q Problem) bool { return q.Careful }) {
			said = "" // on these hosts
		}
		t.printf(green, "%s: nothing to do%s.\n", plural(len(p.Hosts), "host"), said)
		return
	}
	t.printf(bold, "\nPlan: %d to create, %d to change, %d to remove, on %s.", n.Create, n.Update, n.Remove, plural(n.Hosts, "host"))
	if n.Disturb > 0 {
		t.printf(yellow, " %s something that works, for a moment.", verb(n.Disturb, "step disturbs", "steps disturb"))
	}
	if n.Unwell > 0 {
		t.printf(yellow, " %s in place but not well.", verb(n.Unwell, "step is", "steps are"))
	}
	if n.Unknown > 0 {
		t.printf(red, " %d unknown.", n.Unknown)
	}
	if n.Blocked > 0 {
		t.printf(red, " %d cannot be made so.", n.Blocked)
	}
	if len(p.Missing) > 0 {
		t.printf(red, " %s missing.", verb(len(p.Missing), "host is", "hosts are"))
	}
	t.printf("", "\n")
}

func plural(n int, noun string) string { return verb(n, noun, noun+"s") }

func verb(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

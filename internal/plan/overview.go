package plan

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kubewright/kubewright/internal/resource"
)

// overview says on a few lines, whatever the number of hosts, what a plan comes to: by step what is done to how many. Who is tired reads this, and what deserves a second look, and no more.
func (t *textWriter) overview(p *Plan) {
	if p.Counts().Hosts == 0 {
		return
	}
	t.printf(bold, "\nIn short\n")
	rows := byStep(p)
	var names, hosts int // columns
	for _, r := range rows {
		names, hosts = max(names, utf8.RuneCountInString(r.name)), max(hosts, utf8.RuneCountInString(r.on(p)))
	}
	for _, r := range rows {
		t.printf("", "  %-*s  %-*s  %s\n", names, r.name, hosts, r.on(p), r.does())
	}
}

// twice is what deserves a second look, of a plan that changes nothing, too: what is wrong with something that is not Kubewright's to change.
func (t *textWriter) twice(p *Plan) {
	careful := dangers(p)
	if len(careful) == 0 {
		return
	}
	t.printf(bold, "\nLook twice\n")
	for i, d := range careful {
		if more := len(careful) - i; !t.o.Notes && i >= maxDangers && more > 1 {
			t.printf(d.color, "  %d more; --full shows all\n", more)
			break
		}
		who := some(d.hosts)
		if who != "" {
			who += ": "
		}
		t.printf(d.color, "  %s%s\n", who, d.what)
	}
}

// maxDangers are shown at most in the short form.
const maxDangers = 12

// stepRow is what a step does, on all hosts that have it.
type stepRow struct {
	name                           string
	hosts                          []string
	create, update, remove, unwell int
}

func byStep(p *Plan) []*stepRow {
	rows := map[string]*stepRow{}
	var order []*stepRow
	for i := range p.Steps {
		s := &p.Steps[i]
		if !s.Work() {
			continue
		}
		r := rows[s.Name]
		if r == nil {
			r = &stepRow{name: s.Name}
			rows[s.Name] = r
			order = append(order, r)
		}
		r.hosts = append(r.hosts, s.Host)
		for _, c := range s.Changes {
			switch c.Action {
			case Create:
				r.create++
			case Update:
				r.update++
			case Remove:
				r.remove++
			}
		}
		if len(s.Changes) == 0 {
			r.unwell++
		}
	}
	return order
}

// on are the hosts of a row.
func (r *stepRow) on(p *Plan) string {
	switch {
	case len(r.hosts) > 1 && len(r.hosts) == len(p.Hosts):
		return fmt.Sprintf("all %d hosts", len(r.hosts))
	case len(r.hosts) > 5:
		return plural(len(r.hosts), "host")
	}
	return strings.Join(r.hosts, ", ")
}

func (r *stepRow) does() string {
	var all []string
	for _, n := range []struct {
		n    int
		what string
	}{{r.create, "to create"}, {r.update, "to change"}, {r.remove, "to remove"}, {r.unwell, "to wait for: not well"}} {
		if n.n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	return strings.Join(all, ", ")
}

// danger is something that deserves a second look, and the hosts that it is about.
type danger struct {
	what, color string
	hosts       []string
}

// does says what a change that disturbs does to a resource.
func does(id resource.ID, c resource.Change) string {
	what := ""
	switch {
	case c.New == "inactive":
		what = "stops"
	case c.What == "restart" || c.What == "content":
		what = "restarts"
	default:
		return fmt.Sprintf("%s: %s", id, c)
	}
	if c.Why != "" {
		what += " (" + c.Why + ")"
	}
	return fmt.Sprintf("%s %s", id, what)
}

// dangers are what is said to be one, what stops, for a moment or for good, the same on several hosts once, and then what goes.
func dangers(p *Plan) []*danger {
	groups := map[string]Group{}
	for _, g := range p.Groups {
		groups[g.Name] = g
	}
	known := map[string]*danger{}
	var disturbed, removed []*danger
	add := func(list *[]*danger, color, host, what string) {
		d := known[what]
		if d == nil {
			d = &danger{what: what, color: color}
			known[what] = d
			*list = append(*list, d)
		}
		if host != "" && !slices.Contains(d.hosts, host) {
			d.hosts = append(d.hosts, host)
		}
	}
	var said []*danger
	for _, q := range p.Problems {
		if q.Careful {
			host := q.Host
			q.Host = ""
			add(&said, red, host, q.String())
		}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		for _, r := range s.Changes {
			if r.Action == Remove {
				add(&removed, red, s.Host, fmt.Sprintf("%s goes", r.Resource))
				continue
			}
			for _, c := range r.Changes {
				if !c.Disturbs {
					continue
				}
				at := ""
				if g, ok := groups[s.Group]; ok && len(g.Members) > 1 {
					at = fmt.Sprintf(", %s of %s at a time", plural(g.AtOnce, "host"), g.Name)
				}
				add(&disturbed, yellow, s.Host, does(r.Resource, c)+at)
			}
		}
	}
	return slices.Concat(said, disturbed, removed)
}

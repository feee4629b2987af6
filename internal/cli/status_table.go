package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/kubewright/kubewright/internal/converge"
)

// statusTable is one of the tables of a status.
type statusTable struct {
	head string // cells, with tabs between them
	rows []statusRow
}

// statusRow is a row of it.
type statusRow struct {
	cells string
	state converge.Health // the worst of what it shows
}

// write writes the table with some of its rows.
func (t statusTable) write(out io.Writer, rows []statusRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, t.head)
	for _, r := range rows {
		fmt.Fprintln(w, r.cells)
	}
	return w.Flush()
}

func (t *statusTable) add(states []converge.Health, format string, args ...any) {
	r := statusRow{cells: fmt.Sprintf(format, args...), state: converge.Well}
	for _, s := range states {
		if s == converge.Wrong || r.state == converge.Well {
			r.state = s
		}
	}
	t.rows = append(t.rows, r)
}

// statusTables are those of nodes, control planes, etcd, and what runs in the cluster if anything shall.
func statusTables(s converge.Status) []statusTable {
	nodes := statusTable{head: "NODE\tSTATE\tROLES\tVERSION\tRUNTIME\tADDRESS"}
	for _, n := range s.Nodes {
		state := stateOf(n.State)
		if n.Cordoned {
			state += ", cordoned"
		}
		nodes.add([]converge.Health{n.State}, "%s\t%s\t%s\t%s\t%s\t%s", n.Name, state, orDash(strings.Join(n.Roles, ",")), orDash(n.Version),
			orDash(strings.Replace(n.Runtime, "://", " ", 1)), orDash(n.Address))
	}
	planes := statusTable{head: "CONTROL PLANE\tAPI SERVER\tCONTROLLER MANAGER\tSCHEDULER"}
	for _, p := range s.ControlPlanes {
		planes.add([]converge.Health{p.APIServer.State, p.ControllerManager.State, p.Scheduler.State}, "%s\t%s\t%s\t%s",
			p.Host, programState(p.APIServer), programState(p.ControllerManager), programState(p.Scheduler))
	}
	members := "ETCD MEMBER"
	if s.Etcd.External {
		members = "YOUR ETCD"
	}
	tables := []statusTable{nodes, planes, memberTable(members, s.Etcd)}
	if s.EtcdEvents != nil {
		tables = append(tables, memberTable("EVENTS MEMBER", *s.EtcdEvents))
	}
	if len(s.Addons) > 0 {
		inside := statusTable{head: "IN THE CLUSTER\tSTATE"}
		for _, a := range s.Addons {
			inside.add([]converge.Health{a.State}, "%s\t%s", a.Name, stateOf(a.State))
		}
		tables = append(tables, inside)
	}
	return tables
}

// memberTable is that of the members of an etcd.
func memberTable(head string, e converge.EtcdStatus) statusTable {
	t := statusTable{head: head + "\tSTATE\tROLE\tVERSION\tDATABASE"}
	for _, m := range e.Members {
		t.add([]converge.Health{m.State}, "%s\t%s\t%s\t%s\t%s", m.Host, stateOf(m.State), memberRole(m), orDash(m.Version), memberDatabase(m))
	}
	return t
}

func memberRole(m converge.MemberStatus) string {
	switch {
	case m.Leader:
		return "leader"
	case m.Learner:
		return "learner"
	case m.State != converge.Well: // it follows nobody
		return "-"
	}
	return "follower"
}

func memberDatabase(m converge.MemberStatus) string {
	switch {
	case m.ID == "":
		return "-"
	case m.Quota > 0:
		return size(m.Size) + " of " + size(m.Quota)
	}
	return size(m.Size)
}

func stateOf(h converge.Health) string {
	if h == converge.Wrong {
		return "WRONG"
	}
	return string(h)
}

func programState(p converge.ProgramStatus) string {
	if p.State == converge.Well && p.Version != "" {
		return "well, " + p.Version
	}
	return stateOf(p.State)
}

func orDash(s string) string { return cmp.Or(s, "-") }

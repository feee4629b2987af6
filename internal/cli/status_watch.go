package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/ui"
)

// defaultInterval is how long a watch rests between two looks.
const defaultInterval = 5 * time.Second

// watchStatus shows one status after another until it is interrupted, which is no failure.
func watchStatus(c *cobra.Command, output string, w *work, every time.Duration) error {
	begin, show := func() {}, printStatuses(c, output)
	out, isFile := c.OutOrStdout().(*os.File)
	if live, ok := w.view.(ui.Live); ok && output == "text" && isFile && term.IsTerminal(int(out.Fd())) {
		begin, show = drawStatuses(live, every)
	} else {
		w.view.Close() // what it draws would be drawn over what is printed
	}
	err := w.Watch(c.Context(), every, begin, show)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// printStatuses writes each status: as a line of JSON, or as text after the time of it, with an empty line between two.
func printStatuses(c *cobra.Command, output string) func(converge.Status) error {
	out := c.OutOrStdout()
	if output == "json" {
		e := json.NewEncoder(out)
		return func(s converge.Status) error { return e.Encode(s) }
	}
	between := ""
	return func(s converge.Status) error {
		var b bytes.Buffer // whole, for who reads along
		fmt.Fprintf(&b, "%s%s\n", between, s.Time.Local().Format(time.DateTime))
		between = "\n"
		if err := showStatus(&b, s); err != nil {
			return err
		}
		_, err := io.WriteString(out, ui.Printable(b.String()))
		return err
	}
}

// drawStatuses draws each status over the one before.
func drawStatuses(live ui.Live, every time.Duration) (begin func(), show func(converge.Status) error) {
	v := watched{every: every}
	begin = func() {
		v.looking = time.Now()
		if !v.looked.IsZero() {
			live.Show(v.rows)
		}
	}
	show = func(s converge.Status) error {
		v.status, v.looked, v.looking = s, time.Now(), time.Time{}
		live.Show(v.rows)
		return nil
	}
	return begin, show
}

// watched is what a watch has seen last.
type watched struct {
	status  converge.Status
	looked  time.Time     // when that was known
	looking time.Time     // since when it looks again; zero if it rests
	every   time.Duration // how long it rests
}

// rows are what is shown of it, fewer than a terminal has and narrower than it is: how old it is, what it comes to, what is wrong, then as much of the tables as there is
// room for, what is not well before what is.
func (v watched) rows(now time.Time, width, height int) []ui.Row {
	width, room := max(1, width-1), max(1, height-1)
	head := fmt.Sprintf("%s at %s, looked %s ago, ", v.status.Cluster, v.looked.Format(time.TimeOnly), ui.Elapsed(now.Sub(v.looked)))
	if v.looking.IsZero() {
		head += fmt.Sprintf("every %s", ui.Elapsed(v.every))
	} else {
		head += fmt.Sprintf("looking again for %s", ui.Elapsed(now.Sub(v.looking)))
	}
	rows := []ui.Row{{Text: head}}
	if room > 2 {
		rows = append([]ui.Row{{}}, rows...) // where the cursor is
	}
	sums := append([]string{nodesText(v.status)}, statusSums(v.status)...)
	// What it comes to gives way to what is wrong, unless there is more of that than has room anyway.
	const few = 6 // findings
	n, beside := max(1, len(v.status.Findings)), room-len(rows)-len(sums)-1
	if n <= beside || n > room-len(rows) && beside >= few {
		for _, line := range sums {
			rows = append(rows, ui.Row{Text: line})
		}
		rows = append(rows, ui.Row{})
	}
	rows = append(rows, findingRows(v.status, width, max(1, room-len(rows)))...)
	rows = append(rows, tableRows(statusTables(v.status), room-len(rows))...)
	rows = rows[:min(len(rows), room)]
	for i := range rows {
		rows[i].Text = ui.Cut(rows[i].Text, width)
	}
	return rows
}

// nodesText says how many nodes and control planes are well.
func nodesText(s converge.Status) string {
	nodes, cordoned, planes := 0, 0, 0
	for _, n := range s.Nodes {
		if n.State == converge.Well {
			nodes++
		}
		if n.Cordoned {
			cordoned++
		}
	}
	for _, p := range s.ControlPlanes {
		if p.APIServer.State == converge.Well && p.ControllerManager.State == converge.Well && p.Scheduler.State == converge.Well {
			planes++
		}
	}
	text := fmt.Sprintf("Nodes: %d of %d are well", nodes, len(s.Nodes))
	if cordoned > 0 {
		text += fmt.Sprintf(", %d cordoned", cordoned)
	}
	return fmt.Sprintf("%s. Control planes: %d of %d are well.", text, planes, len(s.ControlPlanes))
}

// findingRows are what is wrong, worst first, in at most so many rows: with what to do if there is room for all of that, or whole, or in a row each.
func findingRows(s converge.Status, width, room int) []ui.Row {
	if len(s.Findings) == 0 {
		return []ui.Row{{Text: fmt.Sprintf("Nothing is wrong with %s.", s.Cluster)}}
	}
	var remedied, whole, short []ui.Row
	for _, f := range s.Findings {
		text, red := fmt.Sprintf("%s: %s", cmp.Or(f.Host, s.Cluster), f.Message), f.Severity == converge.SevereWrong
		if !red {
			text = "Watch out: " + text
		}
		short = append(short, ui.Row{Text: text, Red: red})
		for i, line := range ui.Fold(text, width-2, 4) {
			if i > 0 {
				line = "  " + line
			}
			whole, remedied = append(whole, ui.Row{Text: line, Red: red}), append(remedied, ui.Row{Text: line, Red: red})
		}
		for _, line := range ui.Fold(f.Remedy, width-4, 4) {
			remedied = append(remedied, ui.Row{Text: "    " + line})
		}
	}
	elsewhere := ui.Row{Text: "\"kubewright status\" says what to do."}
	switch {
	case len(remedied) <= room:
		return remedied
	case len(whole) < room:
		return append(whole, elsewhere)
	case len(short) < room:
		return append(short, elsewhere)
	case len(short) == room:
		return short
	}
	more := len(short) - room + 1
	return append(short[:room-1], ui.Row{Text: fmt.Sprintf("and %d more", more), Red: short[room-1].Red})
}

// tableRows are as much of tables as there is room for: first what is not well in each, then tables as a whole, in their order.
func tableRows(tables []statusTable, room int) []ui.Row {
	taken := func(shown, all int) int {
		switch shown {
		case 0:
			return 0
		case all:
			return 2 + shown // an empty row and the head
		}
		return 3 + shown // and how many more there are
	}
	shown, unwell := make([][]statusRow, len(tables)), make([]int, len(tables))
	for i, t := range tables {
		bad := slices.DeleteFunc(slices.Clone(t.rows), func(r statusRow) bool { return r.state == converge.Well })
		unwell[i] = len(bad)
		shown[i] = bad[:min(len(bad), max(0, room-3))]
		room -= taken(len(shown[i]), len(t.rows))
	}
	for i, t := range tables {
		if left := room + taken(len(shown[i]), len(t.rows)) - taken(len(t.rows), len(t.rows)); left >= 0 {
			shown[i], unwell[i], room = t.rows, len(t.rows), left
		}
	}
	var rows []ui.Row
	for i, t := range tables {
		if len(shown[i]) == 0 {
			continue
		}
		var b bytes.Buffer
		_ = t.write(&b, shown[i]) // into memory
		rows = append(rows, ui.Row{})
		for k, line := range slices.Collect(strings.Lines(b.String())) {
			rows = append(rows, ui.Row{Text: strings.TrimRight(line, " \n"), Red: k > 0 && shown[i][k-1].state == converge.Wrong})
		}
		switch more := len(t.rows) - len(shown[i]); {
		case more > 0 && unwell[i] > len(shown[i]):
			rows = append(rows, ui.Row{Text: fmt.Sprintf("and %d more", more)})
		case more > 0:
			rows = append(rows, ui.Row{Text: fmt.Sprintf("and %d more that are well", more)})
		}
	}
	return rows
}

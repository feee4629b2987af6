package resource

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// contextLines are shown around lines that change.
const contextLines = 2

// DiffLines are the changed lines of a text, in unified form without file names: " same", "-old", "+new", and "@@ … @@" before each place.
func DiffLines(old, updated string) []string {
	if old == updated {
		return nil
	}
	var lines []string
	if old == "" { // most files are new, on thousands of hosts at once
		for line := range strings.Lines(updated) {
			lines = append(lines, "+"+strings.TrimSuffix(line, "\n"))
		}
		return lines
	}
	u, err := udiff.ToUnifiedDiff("", "", old, udiff.Strings(old, updated), contextLines)
	if err != nil {
		return []string{fmt.Sprintf("@@ %d bytes become %d @@", len(old), len(updated))} // never: the edits are of this text
	}
	for _, h := range u.Hunks {
		lines = append(lines, fmt.Sprintf("@@ line %d @@", h.ToLine))
		for _, l := range h.Lines {
			sign := " "
			switch l.Kind {
			case udiff.Delete:
				sign = "-"
			case udiff.Insert:
				sign = "+"
			}
			lines = append(lines, sign+strings.TrimSuffix(l.Content, "\n"))
		}
	}
	return lines
}

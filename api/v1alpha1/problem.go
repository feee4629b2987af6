package v1alpha1

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a cluster file.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`           // from 1
	Column int    `json:"column"`         // from 1, in characters
	Field  string `json:"field"`          // "hosts[2].roles[0]"
	Wrong  string `json:"wrong"`          // what is wrong
	Want   string `json:"want,omitempty"` // the expected form
}

func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Field != "" {
		s += p.Field + ": "
	}
	s += p.Wrong
	if p.Want != "" {
		s += "; want " + p.Want
	}
	return s
}

// InvalidError is all that is wrong with a cluster file, in the order of its lines.
type InvalidError struct{ Problems []Problem }

func (e InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sortProblems puts problems in the order of the file, and says each once.
func sortProblems(list []Problem) []Problem {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
	return slices.Compact(list)
}

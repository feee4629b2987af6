package ui

import (
	"cmp"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// ColumnsOf is how many columns of a terminal a character takes: two if it is wide, as those of Chinese are, none if it belongs to the one before it.
func ColumnsOf(r rune) int {
	switch {
	case r < 0x300: // neither wide nor combining
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// columns is how many of them a text takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += ColumnsOf(r)
	}
	return n
}

// plainText has no control characters: what other programs said must not command a terminal. Line breaks are kept if they are asked for.
func plainText(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' && lines:
			return r
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, s)
}

// Printable is a text that may be hosts' or Pods' with spaces for what commands a terminal instead of being shown on it. Line ends and tabs stay.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, s)
}

// ellipsis ends what was cut.
const ellipsis = "…"

// Cut is as much of a text as fits into n columns, in one line.
func Cut(s string, n int) string {
	s = plainText(s, false)
	used, fits := 0, 0 // fits is where it is cut if there has to be room for the sign of that
	for i, r := range s {
		if used < n {
			fits = i
		}
		if used += ColumnsOf(r); used > n {
			if n < 1 {
				return ""
			}
			return s[:fits] + ellipsis
		}
	}
	return s
}

// pad is a text that takes n columns: cut, or with spaces after it.
func pad(s string, n int) string {
	s = Cut(s, n)
	return s + strings.Repeat(" ", max(0, n-columns(s)))
}

// foldAll is a text in lines of at most n columns, at least 1, broken at spaces where there are some.
func foldAll(s string, n int) []string {
	n = max(1, n)
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(plainText(s, false)) {
		if w := columns(word); used > 0 && used+1+w <= n {
			line, used = line+" "+word, used+1+w
			continue
		}
		if used > 0 {
			lines = append(lines, line)
		}
		line, used = "", 0
		for _, r := range word {
			if c := ColumnsOf(r); used+c > n && used > 0 {
				lines = append(lines, line)
				line, used = "", 0
			}
			line, used = line+string(r), used+ColumnsOf(r)
		}
	}
	return append(lines, line)
}

// Fold is a text in lines of at most n columns, and at most so many of them, at least 1; the last is cut.
func Fold(s string, n, lines int) []string {
	all := foldAll(s, n)
	if len(all) > lines {
		all = append(all[:lines-1], Cut(strings.Join(all[lines-1:], " "), n))
	}
	return all
}

// natural compares names as people do: m9 comes before m10.
func natural(a, b string) int {
	whole := cmp.Compare(a, b)
	for a != "" && b != "" {
		x, y := leadingDigits(a), leadingDigits(b)
		if x == "" || y == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		m, n := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), whole)
}

func leadingDigits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}

package picture

import (
	"cmp"
	"strings"
)

// compareNames puts m2 before m10.
func compareNames(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na == 0 || nb == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits are how many s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// shorten leaves out what is in the middle of a long name: hosts of a site often begin alike.
func shorten(name string, most int) string {
	r := []rune(name)
	if len(r) <= most {
		return name
	}
	tail := most / 2
	return string(r[:most-tail-1]) + "…" + string(r[len(r)-tail:])
}

// cut leaves out the end of a long text, and all lines but the first.
func cut(text string, most int) string {
	first, _, more := strings.Cut(text, "\n")
	r := []rune(first)
	if len(r) > most {
		r, more = r[:most-1], true
	}
	if more {
		return string(r) + "…"
	}
	return first
}

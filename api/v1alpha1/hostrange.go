package v1alpha1

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxRange is how many hosts a range may stand for.
const maxRange = 10_000

var (
	rangeInBrackets = form(`^([^\[\]]*)\[([0-9]+)-([0-9]+)\]([^\[\]]*)$`)
	rangeOfIPs      = form(`^([0-9a-fA-F.:]+)-([0-9a-fA-F.:]+)$`)
)

// expand writes out a range: "worker[001-200]", "10.0.0.[11-13]". Numbers are as long as the first is written. A text without a range stands for itself.
func expand(s string) ([]string, error) {
	if !strings.ContainsAny(s, "[]") {
		return []string{s}, nil
	}
	m := rangeInBrackets().FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("%q is no range", s)
	}
	from, err1 := strconv.Atoi(m[2])
	to, err2 := strconv.Atoi(m[3])
	switch {
	case err1 != nil || err2 != nil || len(m[2]) > 9:
		return nil, fmt.Errorf("the numbers of %q are too large", s)
	case to < from:
		return nil, fmt.Errorf("the range %q ends before it begins", s)
	case to-from >= maxRange:
		return nil, fmt.Errorf("the range %q is of more than %d", s, maxRange)
	}
	width := 0
	if strings.HasPrefix(m[2], "0") {
		width = len(m[2])
	}
	list := make([]string, 0, to-from+1)
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf("%s%0*d%s", m[1], width, i, m[4]))
	}
	return list, nil
}

// expandAddress writes out a range of addresses, which may cross the borders of its numbers: "10.0.0.200-10.0.1.30" besides the form of expand.
func expandAddress(s string) ([]string, error) {
	m := rangeOfIPs().FindStringSubmatch(s)
	if m == nil {
		return expand(s)
	}
	from, err1 := netip.ParseAddr(m[1])
	to, err2 := netip.ParseAddr(m[2])
	if err1 != nil && err2 != nil && dnsName().MatchString(s) && strings.Trim(s, "0123456789.-") != "" {
		return []string{s}, nil // a name, such as db-1
	}
	if err1 != nil || err2 != nil || from.Is4() != to.Is4() {
		return nil, fmt.Errorf("%q is not a range of two addresses of one family", s)
	}
	if to.Less(from) {
		return nil, fmt.Errorf("the range %q ends before it begins", s)
	}
	var list []string
	for a := from; a.IsValid() && !to.Less(a); a = a.Next() {
		if len(list) == maxRange {
			return nil, fmt.Errorf("the range %q is of more than %d", s, maxRange)
		}
		list = append(list, a.String())
	}
	return list, nil
}

// Names are those that the name of a host stands for: one, or those of a range.
func Names(name string) ([]string, error) { return expand(name) }

// PartOfNames writes the names of a range from number i to before j, counted from 0: of "worker[01-20]" those from 6 to before 20 are "worker[07-20]". One alone is written as itself.
func PartOfNames(name string, i, j int) (string, error) {
	list, err := expand(name)
	return part(name, list, i, j), err
}

// PartOfAddresses does so with addresses.
func PartOfAddresses(address string, i, j int) (string, error) {
	list, err := expandAddress(address)
	return part(address, list, i, j), err
}

// part is empty if the list has no such part.
func part(s string, list []string, i, j int) string {
	switch {
	case i < 0 || j > len(list) || i >= j:
		return ""
	case i == 0 && j == len(list):
		return s
	case i == j-1:
		return list[i]
	}
	if m := rangeInBrackets().FindStringSubmatch(s); m != nil {
		number := func(of string) string { return of[len(m[1]) : len(of)-len(m[4])] }
		return m[1] + "[" + number(list[i]) + "-" + number(list[j-1]) + "]" + m[4]
	}
	return list[i] + "-" + list[j-1]
}

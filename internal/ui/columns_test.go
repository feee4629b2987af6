package ui

import (
	"slices"
	"strings"
	"testing"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abcd", 1, "…"}, {"abcd", 0, ""}, {"", 0, ""}, {"abcd", -1, ""},
		{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"日本語", 2, "…"}, {"日本語", 1, "…"},
		{"a日", 3, "a日"}, {"a日", 2, "a…"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"}, // what belongs to a character takes no room
		{"🙂🙂", 4, "🙂🙂"}, {"🙂🙂", 3, "🙂…"},
		{"a\nb\tc\x1b[31m\u0085d", 20, "a b c [31m d"}, // nothing that commands a terminal
	} {
		got := Cut(c.s, c.n)
		if got != c.want || columns(got) > max(0, c.n) {
			t.Errorf("of %q %d columns are %q, want %q", c.s, c.n, got, c.want)
		}
		if got := pad(c.s, c.n); columns(got) != max(0, c.n) {
			t.Errorf("%q is padded to %d columns, not %d", c.s, columns(got), c.n)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want []string
	}{
		{"", 5, []string{""}},
		{"one two  three", 7, []string{"one two", "three"}},
		{"one two three", 3, []string{"one", "two", "thr", "ee"}},
		{"日本語 a", 4, []string{"日本", "語 a"}},
		{"ab", 0, []string{"a", "b"}},
	} {
		if got := foldAll(c.s, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d columns is %q, want %q", c.s, c.n, got, c.want)
		}
	}
	if got := Fold("one two three four", 7, 2); !slices.Equal(got, []string{"one two", "three …"}) {
		t.Errorf("%q", got)
	}
}

func TestNatural(t *testing.T) {
	want := []string{"a", "a1", "a2b", "a2c", "a10", "b", "b01", "b1"}
	got := slices.Clone(want)
	slices.Sort(got)
	slices.Reverse(got)
	slices.SortFunc(got, natural)
	if !slices.Equal(got, want) {
		t.Errorf("the order is %s", strings.Join(got, " "))
	}
}

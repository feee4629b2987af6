package v1alpha1

import "testing"

func TestPartsOfRanges(t *testing.T) {
	for _, c := range []struct {
		of, s string
		i, j  int
		want  string // empty is an error, or no such part
	}{
		{"names", "worker[01-20]", 6, 20, "worker[07-20]"},
		{"names", "worker[01-20]", 0, 6, "worker[01-06]"},
		{"names", "worker[01-20]", 0, 20, "worker[01-20]"},
		{"names", "worker[01-20]", 6, 7, "worker07"},
		{"names", "w[8-12]-a", 1, 4, "w[9-11]-a"},
		{"names", "w[098-102]", 1, 5, "w[099-102]"},
		{"names", "w[098-102]", 2, 5, "w[100-102]"},
		{"names", "ab-cd", 0, 1, "ab-cd"},
		{"names", "w[2-1]", 0, 1, ""},
		{"names", "w[1-2]", 1, 3, ""},
		{"names", "w[1-2]", 1, 1, ""},
		{"addresses", "10.0.0.[11-13]", 1, 3, "10.0.0.[12-13]"},
		{"addresses", "10.0.0.254-10.0.1.2", 1, 4, "10.0.0.255-10.0.1.1"},
		{"addresses", "10.0.0.254-10.0.1.2", 2, 3, "10.0.1.0"},
		{"addresses", "fd00::9-fd00::b", 1, 3, "fd00::a-fd00::b"},
		{"addresses", "10.0.0.2-10.0.0.1", 0, 1, ""},
	} {
		part := PartOfNames
		if c.of == "addresses" {
			part = PartOfAddresses
		}
		got, err := part(c.s, c.i, c.j)
		if c.want != "" && err != nil || got != c.want {
			t.Errorf("%s %s from %d to before %d: %q, %v, want %q", c.of, c.s, c.i, c.j, got, err, c.want)
		}
		if all, err := expandAddress(got); c.want != "" && (err != nil || len(all) != c.j-c.i) {
			t.Errorf("%s %s from %d to before %d: %q stands for %d, %v", c.of, c.s, c.i, c.j, got, len(all), err)
		}
	}
}

package agent

import (
	"slices"
	"testing"
)

func TestNameServers(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none", "# nobody\nsearch example.com\n", nil},
		{"two", "search a b\nnameserver 10.0.0.2\n nameserver\t2001:db8::2 # second\noptions ndots:2\n", []string{"10.0.0.2", "2001:db8::2"}},
		{"nothing said", "nameserver\n#nameserver 10.0.0.2\n", nil},
	} {
		if f := gather(t, map[string]string{"/etc/resolv.conf": c.text}); !slices.Equal(f.NameServers, c.want) {
			t.Errorf("%s: they are %q; want %q", c.name, f.NameServers, c.want)
		}
	}
	if f := gather(t, nil); f.NameServers != nil {
		t.Errorf("without the file they are %q", f.NameServers)
	}
}

package draft

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

func hosts(n int) []Host {
	var list []Host
	for _, address := range []string{"10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.21", "10.0.0.22", "10.0.0.23"}[:n] {
		list = append(list, Host{Address: address})
	}
	return list
}

func TestFile(t *testing.T) {
	named := hosts(5)
	for i := range named {
		named[i] = Host{Name: fmt.Sprintf("m%d", i+1), Address: fmt.Sprintf("198.18.0.1%d", i+1)}
	}
	for name, in := range map[string]Input{
		"one":   {Name: "home", Hosts: hosts(1)},
		"two":   {Name: "home", Hosts: hosts(2)},
		"three": {Name: "home", Hosts: hosts(3), User: "admin"},
		"five":  {Name: "prod", Version: "v1.37.1", Hosts: named, User: "root", Key: "~/.ssh/id_ed25519"},
		"even":  {Name: "prod", Hosts: hosts(4), ControlPlanes: 1},
		"full":  {Name: "prod", Hosts: hosts(5), Full: true},
	} {
		t.Run(name, func(t *testing.T) { sameFile(t, name, in) })
	}
}

// sameFile compares a file with testdata/NAME.golden.yaml.
func sameFile(t *testing.T, name string, in Input) {
	t.Helper()
	got, err := File(in)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%v; it is\n%s", err, got)
	}
	if _, err := v1alpha1.Parse(file, []byte(got)); err != nil {
		t.Error(err)
	}
}

// Whoever takes the # away from all fields of a full file says what was so anyway.
func TestFullIsValid(t *testing.T) {
	full, err := File(Input{Name: "prod", Hosts: hosts(5), Full: true})
	if err != nil {
		t.Fatal(err)
	}
	short, err := File(Input{Name: "prod", Hosts: hosts(5)})
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(full, "\n\n")
	// A number or a list that nothing is said of has no value to write that would be taken: it is left empty there.
	rest = regexp.MustCompile(`(?m)^#( *)([A-Za-z0-9]+:)( (\[\]|\{\}|"")$)?`).ReplaceAllString(rest, "$1$2")
	c, err := v1alpha1.Parse("cluster.yaml", []byte(head+"\n"+rest))
	if err != nil {
		t.Fatal(err)
	}
	want, err := v1alpha1.Parse("cluster.yaml", []byte(short))
	if err != nil {
		t.Fatal(err)
	}
	if c.Network.Plugin != want.Network.Plugin || c.Etcd.Quota != want.Etcd.Quota || c.HostPreparation.OpenFiles != want.HostPreparation.OpenFiles {
		t.Errorf("it says %+v; the short one %+v", c, want)
	}
}

func TestFileRefuses(t *testing.T) {
	if _, err := File(Input{Name: "prod", Hosts: hosts(2), ControlPlanes: 3}); err == nil || !strings.Contains(err.Error(), "of 2 hosts, 3 cannot be control planes") {
		t.Errorf("more control planes than hosts: %v", err)
	}
	if _, err := File(Input{Name: "prod"}); err == nil {
		t.Error("a cluster of nothing is drafted")
	}
	var invalid v1alpha1.InvalidError
	for what, in := range map[string]Input{
		"a name that is none":  {Name: "My cluster", Hosts: hosts(3)},
		"an address twice":     {Name: "prod", Hosts: []Host{{Name: "a", Address: "10.0.0.1"}, {Name: "b", Address: "10.0.0.1"}}},
		"two control planes":   {Name: "prod", Hosts: hosts(4), ControlPlanes: 2},
		"YAML in an address":   {Name: "prod", Hosts: []Host{{Name: "a", Address: "10.0.0.1, roles: [x]"}}},
		"a name of a host, no": {Name: "prod", Hosts: []Host{{Name: "A b", Address: "10.0.0.1"}}},
	} {
		if got, err := File(in); !errors.As(err, &invalid) {
			t.Errorf("%s: %v\n%s", what, err, got)
		}
	}
}

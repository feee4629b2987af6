package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/converge"
)

// What people are shown of what converge's own tests keep as JSON.
func TestShowChecks(t *testing.T) {
	for _, name := range []string{"well", "warnings", "failures", "no-bundle"} {
		t.Run(name, func(t *testing.T) {
			var s converge.Checks
			kept(t, "check-"+name+".json", &s)
			var b strings.Builder
			if err := showChecks(&b, s); err != nil {
				t.Fatal(err)
			}
			sameText(t, "check-"+name+".golden", b.String())
		})
	}
}

func TestShowDiagnosis(t *testing.T) {
	for _, name := range []string{"well", "one-cause", "many", "not-known", "no-cluster"} {
		t.Run(name, func(t *testing.T) {
			var d converge.Diagnosis
			kept(t, "diagnosis-"+name+".json", &d)
			var b strings.Builder
			if err := showDiagnosis(&b, d); err != nil {
				t.Fatal(err)
			}
			sameText(t, "diagnosis-"+name+".golden", b.String())
		})
	}
}

// Of hosts that differ in a figure, the worst is told, and all that is wrong with it.
func TestWorstIsTold(t *testing.T) {
	rooms := []converge.Check{
		{Name: "room", Host: "a", Outcome: converge.Fail, Message: "little is free in /var", Worse: 0.91}, {Name: "room", Host: "b", Outcome: converge.Fail, Message: "nothing is free in /", Worse: 1},
		{Name: "room", Host: "b", Outcome: converge.Fail, Message: "little is free in /var/log", Worse: 0.95},
	}
	got := alike(rooms, converge.Fail)
	if len(got) != 2 || got[0].hosts != "b" || got[0].message != "nothing is free in /" || got[1].message != "little is free in /var/log. Less badly so on a" {
		t.Errorf("%+v", got)
	}
	if got := alike(rooms[1:], converge.Fail); len(got) != 2 || got[1].message != "little is free in /var/log" {
		t.Errorf("of one host: %+v", got)
	}
}

// Of many hosts a few are named.
func TestAlike(t *testing.T) {
	var all []converge.Check
	for _, h := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		all = append(all, converge.Check{Name: "x", Host: h, Outcome: converge.Warn, Message: "odd"}, converge.Check{Name: "x", Host: h, Outcome: converge.Pass, Message: "fine"})
	}
	if got := alike(all, converge.Warn); len(got) != 1 || got[0].hosts != "a, b, c, d, e, 2 more" || got[0].message != "odd" {
		t.Errorf("%+v", got)
	}
}

func kept(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "converge", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

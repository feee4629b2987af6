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
	for _, name := range []string{"well", "one-cause", "many", "no-cluster"} {
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

// Package plantest writes down steps, so that tests of components can compare what they ask for with what they shall ask for.
package plantest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Golden compares steps and problems with testdata/NAME.golden.
func Golden(t *testing.T, name string, steps []plan.Step, problems []plan.Problem) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	got := Render(t, steps, problems)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it anew:\n%s", file, strings.Join(resource.DiffLines(string(want), got), "\n"))
	}
}

// Render writes down steps and problems: resources as they travel, the content of files, and objects as people read them.
func Render(t *testing.T, steps []plan.Step, problems []plan.Problem) string {
	t.Helper()
	var text strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&text, "problem (blocks: %t): %s\n", p.Blocks, p)
	}
	for _, s := range steps {
		fmt.Fprintf(&text, "\nstep %s\n", s.StepID)
		if s.Group != "" {
			fmt.Fprintf(&text, "  group %s\n", s.Group)
		}
		for _, c := range s.Requires {
			fmt.Fprintf(&text, "  requires %d of %v: %s\n", c.Needed(), c.Of, c.Name)
		}
		for _, r := range s.Resources {
			e, err := resource.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := resource.Decode(e); err != nil {
				t.Errorf("no agent understands %s: %v", r.ID(), err)
			}
			fmt.Fprintf(&text, "  %s %s\n", e.Kind, spec(t, e))
			if o, ok := r.(resource.KubeObject); ok {
				checkObject(t, o)
				b, err := yaml.JSONToYAML(o.Object)
				if err != nil {
					t.Fatal(err)
				}
				text.WriteString(indent(string(b)))
			}
			if f, ok := r.(resource.File); ok {
				if f.Digest != resource.DigestOf(f.Content) {
					t.Errorf("%s has not the content that its digest says", f.Path)
				}
				text.WriteString(indent(string(f.Content)))
			}
		}
		for _, p := range s.Ensures {
			e, err := resource.EncodeProbe(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := resource.DecodeProbe(e); err != nil {
				t.Errorf("no agent understands %s: %v", p.ID(), err)
			}
			fmt.Fprintf(&text, "  ensures %s %s\n", e.Kind, spec(t, e))
		}
	}
	return text.String()
}

// spec is a resource without what is shown below it: digests of content, and objects.
func spec(t *testing.T, e resource.Encoded) string {
	t.Helper()
	shown := map[string]string{"file": "digest", "object": "object"}[e.Kind]
	if shown == "" {
		return string(e.Spec)
	}
	var fields map[string]any
	if err := json.Unmarshal(e.Spec, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, shown)
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func indent(content string) string {
	var text strings.Builder
	for line := range strings.Lines(content) {
		text.WriteString("    | " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return text.String()
}

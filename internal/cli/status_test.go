package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/resource"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestShowStatus shows the clusters of the tests of what makes a status.
func TestShowStatus(t *testing.T) {
	files, err := filepath.Glob("../converge/testdata/status-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s converge.Status
			if err := json.Unmarshal(content, &s); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := showStatus(&out, s); err != nil {
				t.Fatal(err)
			}
			sameText(t, name+".golden", out.String())
		})
	}
}

// sameText compares what people are shown with a golden file.
func sameText(t *testing.T, name, got string) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it anew:\n%s", golden, strings.Join(resource.DiffLines(string(want), got), "\n"))
	}
}

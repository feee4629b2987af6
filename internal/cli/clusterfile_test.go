package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/resource"
)

// clusterFilePage is the reference of the cluster file. What stands below the line that begins with generated is made of the schema.
const (
	clusterFilePage = repository + "/docs/cluster-file.md"
	generated       = "<!-- From here on"
)

// The reference says of each field what the schema says.
func TestClusterFilePage(t *testing.T) {
	content, err := os.ReadFile(clusterFilePage)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(content), generated)
	if !found {
		t.Fatalf("%s has no line %q", clusterFilePage, generated)
	}
	s, err := clusterSchema()
	if err != nil {
		t.Fatal(err)
	}
	want := head + generated + ", this page is made of the schema: go test ./internal/cli -run TestClusterFilePage -update -->\n\n" + reference(t, s)
	if *update {
		if err := os.WriteFile(clusterFilePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(content) != want {
		t.Errorf("%s is not what the schema says; go test ./internal/cli -update writes it anew:\n%s", clusterFilePage, strings.Join(resource.DiffLines(string(content), want), "\n"))
	}
}

// reference are all fields, a table for the file and for each object in it.
func reference(t *testing.T, s fileSchema) string {
	t.Helper()
	var b strings.Builder
	var section func(path string)
	section = func(path string) {
		f, err := s.find(path)
		if err != nil {
			t.Fatal(err)
		}
		if path == "" {
			b.WriteString("## All fields\n\n")
		} else {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", path, plainMarkdown(f.What))
		}
		b.WriteString("| Field | Holds | What it is |\n| --- | --- | --- |\n")
		var deeper []string
		for _, sub := range f.Fields {
			name := sub.Field[strings.LastIndex(sub.Field, ".")+1:]
			inside, err := s.find(sub.Field)
			if err != nil {
				t.Fatal(err)
			}
			if len(inside.Fields) > 0 {
				deeper = append(deeper, sub.Field)
				name = fmt.Sprintf("[%s](#%s)", name, strings.ToLower(strings.ReplaceAll(sub.Field, ".", "")))
			}
			holds := sub.Holds
			if sub.Required {
				holds += ", required"
			}
			if len(sub.Values) > 0 {
				holds += ": " + strings.Join(sub.Values, ", ")
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, plainMarkdown(holds), plainMarkdown(sub.What))
		}
		for _, sub := range deeper {
			section(sub)
		}
	}
	section("")
	return b.String()
}

// plainMarkdown is a text in which nothing means anything to Markdown.
func plainMarkdown(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "|", `\|`, "<", `\<`, "[", `\[`, "]", `\]`, "`", "\\`").Replace(text)
}

// exampleFile is the cluster file that the reference begins with.
func exampleFile(t *testing.T) string {
	t.Helper()
	for _, c := range readPage(t, clusterFilePage).fenced {
		if c.language == "yaml" {
			return c.text
		}
	}
	t.Fatalf("%s shows no cluster file", clusterFilePage)
	return ""
}

// All cluster files that pages show whole are valid.
func TestExamplesOfPages(t *testing.T) {
	examples := 0
	for _, p := range pages(t) {
		for _, c := range p.fenced {
			if c.language != "yaml" || !strings.Contains(c.text, "kind: Cluster") {
				continue
			}
			examples++
			if _, err := v1alpha1.Parse(p.path, []byte(c.text)); err != nil {
				t.Errorf("%s, line %d: %v", p.path, c.line, err)
			}
		}
	}
	if examples == 0 {
		t.Error("no page shows a cluster file")
	}
}

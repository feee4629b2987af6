package converge

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
)

// differencesPage says to people what differs from kubeadm. What stands below the line that begins with generated is made of the table.
const (
	differencesPage = "../../docs/kubeadm-differences.md"
	generated       = "<!-- From here on"
)

// The page says what the table says, and TestLikeKubeadm that it is so.
func TestKubeadmDifferencesPage(t *testing.T) {
	content, err := os.ReadFile(differencesPage)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(content), generated)
	if !found {
		t.Fatalf("%s has no line %q", differencesPage, generated)
	}
	want := head + generated + ", this page is made of the table in internal/converge/kubeadm_differences_test.go: go test ./internal/converge -run TestKubeadmDifferencesPage -update -->\n" +
		inMarkdown(deliberate())
	if *update {
		if err := os.WriteFile(differencesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(content) != want {
		t.Errorf("%s is not what the table says; go test -update writes it anew:\n%s", differencesPage, strings.Join(resource.DiffLines(string(content), want), "\n"))
	}
}

// inMarkdown is a table of differences: fields by what they are of, and then what only one has.
func inMarkdown(table []difference) string {
	var b strings.Builder
	section, of := "", ""
	for _, d := range table {
		if d.field == "" {
			continue
		}
		if s := sectionOf(d); s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n", section)
		}
		if d.of != of {
			of = d.of
			fmt.Fprintf(&b, "\n### %s\n\n| Field | kubeadm | Kubewright | Why |\n| --- | --- | --- | --- |\n", strings.ToUpper(of[:1])+of[1:])
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(d.field), code(d.kubeadm), code(d.ours), d.why)
	}
	list := func(title string, only func(d difference) bool) {
		names := map[string][]string{}
		var whys []string
		for _, d := range table {
			if d.field == "" && only(d) {
				if names[d.why] == nil {
					whys = append(whys, d.why)
				}
				names[d.why] = append(names[d.why], code(d.of))
			}
		}
		if len(whys) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n## %s\n\n| What | Why |\n| --- | --- |\n", title)
		for _, why := range whys {
			fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names[why], ", "), why)
		}
	}
	list("What only Kubewright makes", func(d difference) bool { return d.kubeadm == "" })
	list("What only kubeadm makes", func(d difference) bool { return d.ours == "" })
	return b.String()
}

func sectionOf(d difference) string {
	if strings.HasPrefix(d.of, "/") {
		return "Files of a control plane"
	}
	return "Objects of the API"
}

// code is a value as code in a table, or a dash if nothing is there.
func code(value string) string {
	switch value {
	case "":
		return "–"
	case something:
		return value
	}
	return "`" + strings.ReplaceAll(value, "|", `\|`) + "`"
}

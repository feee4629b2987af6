package kubewright_test

import (
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kubewright/kubewright/"

// rows are the floors of the house, top floor first, as CONTRIBUTING describes them: a package imports only from rows below
// its own. A name stands for the package and those within it, which may import each other; with /* each package within
// is a room of its own.
var rows = [][]string{
	{"test/e2e"},
	{"cmd/kubewright"},
	{"internal/cli"},
	{"internal/ui"},
	{"internal/converge"},
	{"internal/component/*", "internal/component/addon/*"},
	{"internal/run"},
	{"internal/agent"},
	{"internal/plan", "internal/staticpod"},
	{"internal/resource"},
	{"internal/kube", "internal/etcd"},
	{"internal/ssh", "internal/bundle", "internal/machines"},
	{"internal/cluster", "internal/clusterfile", "internal/draft", "internal/pki", "internal/sizing"},
	{"internal/facts", "internal/event", "internal/measure"},
	{"api/v1alpha1"},
}

// roomOf returns the room of a package (a path within the module) and its row, or -1.
func roomOf(pkg string) (string, int) {
	for row, rooms := range rows {
		for _, room := range rooms {
			if within, ok := strings.CutSuffix(room, "/*"); ok {
				// internal/component/addon holds rooms and is none.
				if rest, ok := strings.CutPrefix(pkg, within+"/"); ok && rest != "addon" && !strings.HasPrefix(rest, "addon/") {
					return within + "/" + strings.Split(rest, "/")[0], row
				}
				continue
			}
			if pkg == room || strings.HasPrefix(pkg, room+"/") {
				return room, row
			}
		}
	}
	return "", -1
}

// upward lists what is wrong with imports, given as package and imported package, both within the module.
func upward(imports [][2]string) []string {
	var wrong []string
	for _, i := range imports {
		from, fromRow := roomOf(i[0])
		to, toRow := roomOf(i[1])
		switch {
		case fromRow < 0:
			wrong = append(wrong, fmt.Sprintf("package %s has no room in the house: give it one in the table", i[0]))
		case toRow < 0:
			wrong = append(wrong, fmt.Sprintf("package %s has no room in the house: give it one in the table", i[1]))
		case from != to && toRow <= fromRow:
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which is not below it", i[0], i[1]))
		}
	}
	return slices.Compact(wrong)
}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}{{range .TestImports}}{{$p}} {{.}}{{"\n"}}{{end}}{{range .XTestImports}}{{$p}} {{.}}{{"\n"}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var imports [][2]string
	for line := range strings.Lines(string(out)) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		f, own := strings.CutPrefix(from, module)
		if i, ok := strings.CutPrefix(to, module); ok && own {
			imports = append(imports, [2]string{f, i})
		}
	}
	if len(imports) < 3 {
		t.Fatalf("only %d imports found; is the module still called %s?", len(imports), path.Clean(module))
	}
	for _, w := range upward(imports) {
		t.Error(w)
	}
}

func TestUpwardSeesEveryWrongArrow(t *testing.T) {
	for _, c := range []struct {
		from, to string
		wrong    bool
	}{
		{"internal/cli", "internal/machines", false},
		{"internal/machines", "internal/cli", true},
		{"internal/machines", "internal/machines/inside", false},
		{"internal/machines", "internal/ssh", true}, // same row
		{"internal/component/etcd", "internal/plan", false},
		{"internal/component/etcd", "internal/component/kubelet", true},
		{"internal/component/etcd", "internal/component/addon/metrics", true},
		{"internal/component/addon/metrics", "internal/component/addon/dashboard", true},
		{"internal/agent", "internal/run", true},
		{"internal/helpers", "api/v1alpha1", true}, // no such room
		{"internal/cli", "internal/util", true},
	} {
		if got := upward([][2]string{{c.from, c.to}}); (len(got) > 0) != c.wrong {
			t.Errorf("%s imports %s: %q", c.from, c.to, got)
		}
	}
}

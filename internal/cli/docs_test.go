package cli

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// repository is where the documentation is, from here.
const repository = "../.."

// needNothing are the commands that need no machines: what pages say of them is really run. A command belongs to the longest beginning of it that stands here or below.
var needNothing = []string{"bundle list", "completion", "endpoint config", "explain", "help", "init", "node add", "node remove", "node replace", "runs", "schema", "size", "validate"}

// needMachines are all others, with the test in test/e2e that runs them.
var needMachines = []struct{ command, test string }{
	{"apply", "TestCluster"},
	{"bundle build", "TestBundles"},
	{"bundle export", "TestExportedBundle"},
	{"bundle import", "TestExportedBundle"},
	{"bundle prune", "TestExportedBundle"},
	{"bundle show", "TestBundles"},
	{"bundle unpack", "TestBundles"},
	{"bundle verify", "TestBundles"},
	{"check", "TestCluster"},
	{"doctor", "TestCluster"},
	{"etcd recover", "TestMembersComeAndGo"},
	{"init --from-machines", "TestCluster"},
	{"init --look", "TestCluster"},
	{"join-command", "TestCluster"},
	{"kubeconfig", "TestCluster"},
	{"logs", "TestCluster"},
	{"machines cut", "TestMachines"},
	{"machines down", "TestMachines"},
	{"machines heal", "TestMachines"},
	{"machines kill", "TestMachines"},
	{"machines limit", "TestMachines"},
	{"machines list", "TestMachines"},
	{"machines reset", "TestMachines"},
	{"machines restart", "TestMachines"},
	{"machines ssh", "TestMachines"},
	{"machines start", "TestMachines"},
	{"machines stop", "TestMachines"},
	{"machines up", "TestMachines"},
	{"network routes", "TestCluster"},
	{"node cordon", "TestCluster"},
	{"node drain", "TestCluster"},
	{"node list", "TestCluster"},
	{"node uncordon", "TestCluster"},
	{"plan", "TestCluster"},
	{"recover-config", "TestMembersComeAndGo"},
	{"reset", "TestApply"},
	{"runs show", "TestApply"},
	{"status", "TestCluster"},
	{"support-bundle", "TestCluster"},
}

// programs are others that pages have readers run.
var programs = []string{"apt-get", "cd", "cp", "crictl", "export", "git", "journalctl", "jq", "kubeadm", "kubectl", "make", "mv", "rm", "scp", "sha256sum", "ssh", "ssh-keygen", "systemctl", "systemd-machine-id-setup"}

// page is one of the documentation.
type page struct {
	markdown
	path string // from the repository: "docs/operating.md"
}

// pages are all of them.
func pages(t *testing.T) []page {
	t.Helper()
	files, err := filepath.Glob(repository + "/docs/*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("there are %d pages in docs, %v", len(files), err)
	}
	readmes, err := filepath.Glob(repository + "/README*.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []page
	for _, file := range append(readmes, files...) {
		list = append(list, readPage(t, file))
	}
	return list
}

func readPage(t *testing.T, file string) page {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseMarkdown(string(content))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	path, err := filepath.Rel(repository, file)
	if err != nil {
		t.Fatal(err)
	}
	return page{m, path}
}

// isKubewright says whether a word is the program.
func isKubewright(word string) bool { return word == "kubewright" || word == "bin/kubewright" }

// scripts are what a page has readers run, each to be run in a directory of its own: code that is called sh, and indented lines that call the program.
func (p page) scripts() []fencedCode {
	var list []fencedCode
	for _, c := range p.fenced {
		if c.language == "sh" {
			list = append(list, c)
		}
	}
	for _, l := range p.indented {
		if first, _, _ := strings.Cut(l.text, " "); isKubewright(first) {
			list = append(list, fencedCode{l.line, "sh", l.text})
		}
	}
	return list
}

// accepts says what is wrong with a command line. Its arguments count if it is to be run as it stands.
func accepts(words []string, arguments bool) error {
	root := newRoot(nil)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(words...)
	c, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if !arguments && c != root {
		return nil
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return err
	}
	if c == root && len(c.Flags().Args()) > 0 {
		return fmt.Errorf("there is no command %s", c.Flags().Arg(0))
	}
	return errors.Join(c.ValidateRequiredFlags(), c.ValidateFlagGroups())
}

// group says whether a command needs nothing, and if it needs machines, which test runs it.
func group(words []string) (runs bool, test string, known bool) {
	longest := 0
	consider := func(command, t string) {
		begin := strings.Fields(command)
		if len(begin) > longest && len(words) >= len(begin) && slices.Equal(words[:len(begin)], begin) {
			longest, runs, test, known = len(begin), t == "", t, true
		}
	}
	for _, command := range needNothing {
		consider(command, "")
	}
	for _, c := range needMachines {
		consider(c.command, c.test)
	}
	if len(words) == 0 || slices.Contains(words, "--help") {
		return true, "", true
	}
	return runs, test, known
}

// Every command that pages show is one that there is. Those that need nothing are run; of the others there is a test that runs them.
func TestDocumentedCommands(t *testing.T) {
	example := exampleFile(t)
	home := t.TempDir()
	for name, dir := range map[string]string{"HOME": "", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"} {
		t.Setenv(name, filepath.Join(home, dir))
	}
	ran := 0
	for _, p := range pages(t) {
		for _, s := range p.scripts() {
			commands, err := shellCommands(s.text, s.line)
			if err != nil {
				t.Errorf("%s: %v", p.path, err)
			}
			t.Run(fmt.Sprintf("%s:%d", p.path, s.line), func(t *testing.T) {
				t.Chdir(t.TempDir())
				for _, c := range commands {
					if !isKubewright(c.words[0]) {
						if !slices.Contains(programs, c.words[0]) {
							t.Errorf("line %d: readers are to run %s, which is not among the programs that they are known to have", c.line, c.words[0])
						}
						continue
					}
					words := c.words[1:]
					if err := accepts(words, true); err != nil {
						t.Errorf("line %d: kubewright %s: %v", c.line, strings.Join(words, " "), err)
						continue
					}
					switch runs, _, known := group(words); {
					case !known:
						t.Errorf("line %d: kubewright %s is neither run here, nor is it said which end-to-end test runs it", c.line, strings.Join(words, " "))
					case runs:
						ran++
						execute(t, c, words, example)
					}
				}
			})
		}
		for _, s := range p.spans() {
			if words := strings.Fields(s.text); len(words) > 1 && isKubewright(words[0]) {
				if err := accepts(words[1:], false); err != nil {
					t.Errorf("%s:%d: %s: %v", p.path, s.line, s.text, err)
				}
			}
		}
	}
	if ran < 10 {
		t.Errorf("only %d commands were run", ran)
	}
}

// execute runs a command that needs nothing but, perhaps, the cluster file that it looks at.
func execute(t *testing.T, c shellCommand, words []string, example string) {
	t.Helper()
	if slices.Contains([]string{"endpoint", "node", "validate"}, words[0]) {
		file := "cluster.yaml"
		if words[0] == "validate" && len(words) > 1 && !strings.HasPrefix(words[1], "-") {
			file = words[1]
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := said(words...)
	if err != nil {
		t.Errorf("line %d: kubewright %s: %v\n%s", c.line, strings.Join(words, " "), err, out)
	}
	if c.output != "" {
		if err := os.WriteFile(c.output, []byte(out), 0o600); err != nil {
			t.Error(err)
		}
	}
}

func TestAccepts(t *testing.T) {
	for words, wrong := range map[string]bool{
		"":                                      false,
		"--help":                                false,
		"help machines up":                      false,
		"completion bash":                       false,
		"plan prod.yaml --full":                 false,
		"machines ssh m1 -- uname -a":           false,
		"kubeconfig --merge -o x":               true, // one or the other
		"plan a b":                              true,
		"plan --fulll":                          true,
		"bogus":                                 true,
		"machines bogus":                        true,
		"machines kill":                         true,
		"bundle import":                         true,
		"apply --yes --output json prod.yaml":   false,
		"bundle unpack v1.37.1 programs /tmp/x": false,
	} {
		if err := accepts(strings.Fields(words), true); (err != nil) != wrong {
			t.Errorf("kubewright %s: %v", words, err)
		}
	}
	if err := accepts([]string{"bundle", "import"}, false); err != nil {
		t.Errorf("without its arguments: %v", err)
	}
}

func TestGroup(t *testing.T) {
	for words, want := range map[string]string{
		"init --hosts 10.0.0.1": "", "init --from-machines": "TestCluster", "runs": "", "runs show": "TestApply", "machines up --help": "", "bundle list": "", "plan": "TestCluster", "bundle": "unknown",
	} {
		runs, test, known := group(strings.Fields(words))
		if !known {
			test = "unknown"
		}
		if test != want || runs != (want == "") {
			t.Errorf("%s: %t, %q, %t", words, runs, test, known)
		}
	}
}

// The tests that are said to run commands are there and do: the command is named by a text in them, or in what they call.
func TestEndToEndTestsRunDocumentedCommands(t *testing.T) {
	files, err := filepath.Glob(repository + "/test/e2e/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no end-to-end tests: %v", err)
	}
	names, texts := map[string][]string{}, map[string][]string{} // of functions: what is named in them, and words of their texts
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					names[d.Name.Name] = append(names[d.Name.Name], n.Name)
				case *ast.BasicLit:
					if s, err := strconv.Unquote(n.Value); err == nil {
						texts[d.Name.Name] = append(texts[d.Name.Name], strings.Fields(s)...)
					}
				}
				return true
			})
		}
	}
	for _, c := range needMachines {
		if texts[c.test] == nil {
			t.Errorf("%s is said to run kubewright %s, and is not there", c.test, c.command)
			continue
		}
		words := strings.Fields(c.command)
		word := words[len(words)-1]
		seen := map[string]bool{}
		var says func(function string) bool
		says = func(function string) bool {
			if seen[function] {
				return false
			}
			seen[function] = true
			return slices.Contains(texts[function], word) || slices.ContainsFunc(names[function], func(n string) bool { return texts[n] != nil && says(n) })
		}
		if !says(c.test) {
			t.Errorf("%s is said to run kubewright %s, and does not name it", c.test, c.command)
		}
		if err := accepts(words, false); err != nil {
			t.Errorf("%s is said to run kubewright %s: %v", c.test, c.command, err)
		}
	}
}

// All commands that people are shown are in one of the groups, so that pages may speak of them.
func TestEveryCommandIsInAGroup(t *testing.T) {
	var visit func(c *cobra.Command, words []string)
	visit = func(c *cobra.Command, words []string) {
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				visit(sub, append(slices.Clone(words), sub.Name()))
			}
		}
		if _, _, known := group(words); !known && !c.HasSubCommands() {
			t.Errorf("kubewright %s is neither among the commands that need nothing, nor is it said which end-to-end test runs it", strings.Join(words, " "))
		}
	}
	visit(newRoot(nil), nil)
}

// Links within the repository lead to files and headings that are there.
func TestLinksOfPages(t *testing.T) {
	all := pages(t)
	for _, p := range all {
		links := p.links()
		for _, l := range p.prose {
			if whole := slices.DeleteFunc(slices.Clone(links), func(of markdownLine) bool { return of.line != l.line }); strings.Count(inlineCode.ReplaceAllString(l.text, ""), "](") != len(whole) {
				t.Errorf("%s:%d: a link does not stand in one line", p.path, l.line)
			}
		}
		for _, l := range links {
			if strings.Contains(l.text, "://") {
				if !strings.HasPrefix(l.text, "https://") {
					t.Errorf("%s:%d: %s is not read over https", p.path, l.line, l.text)
				}
				continue
			}
			path, anchor, _ := strings.Cut(l.text, "#")
			file := filepath.Join(repository, p.path)
			if path != "" {
				file = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s:%d: the link %s leads nowhere: %v", p.path, l.line, l.text, err)
				continue
			}
			if anchor != "" && !slices.Contains(readPage(t, file).anchors(), anchor) {
				t.Errorf("%s:%d: %s has no heading #%s", p.path, l.line, path, anchor)
			}
		}
	}
	index := readPage(t, repository+"/docs/README.md")
	for _, p := range all {
		name, inDocs := strings.CutPrefix(p.path, "docs/")
		if inDocs && name != "README.md" && !slices.ContainsFunc(index.links(), func(l markdownLine) bool { return l.text == name }) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

// A translation has readers run the same.
func TestTranslationsHaveTheSameCommands(t *testing.T) {
	of := func(p page) []string {
		var list []string
		for _, s := range p.scripts() {
			commands, err := shellCommands(s.text, s.line)
			if err != nil {
				t.Errorf("%s: %v", p.path, err)
			}
			for _, c := range commands {
				list = append(list, strings.Join(c.words, " "))
			}
		}
		return list
	}
	translations := 0
	for _, p := range pages(t) {
		original, translated := strings.CutSuffix(p.path, ".zh.md")
		if !translated {
			continue
		}
		translations++
		want, got := of(readPage(t, filepath.Join(repository, original+".md"))), of(p)
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i] != got[i] {
				t.Errorf("%s: its command %d is not that of %s.md: %q, not %q", p.path, i+1, original, at(got, i), at(want, i))
				break
			}
		}
	}
	if translations == 0 {
		t.Error("there are no translations")
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// The messages that the page about troubles quotes, in code that is called text, are ones that the program gives: each piece between … stands in a text of its source.
func TestTroubleshootingQuotesMessages(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"internal", "api"} {
		if err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					if s, err := strconv.Unquote(l.Value); err == nil {
						source.WriteString(s) // texts that are joined by + stay joined
					}
				}
				return true
			})
			source.WriteString("\n")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	quoted := 0
	for _, c := range readPage(t, repository+"/docs/troubleshooting.md").fenced {
		if c.language != "text" {
			continue
		}
		for message := range strings.Lines(c.text) {
			quoted++
			for piece := range strings.SplitSeq(message, "…") {
				if piece = strings.TrimSpace(piece); !strings.Contains(source.String(), piece) {
					t.Errorf("docs/troubleshooting.md, line %d and after: nothing in the program says %q", c.line, piece)
				}
			}
		}
	}
	if quoted < 40 {
		t.Errorf("only %d messages are quoted", quoted)
	}
}

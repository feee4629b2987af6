package cli

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/api/v1alpha1/schema"
)

func newExplain() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "explain [FIELD]",
		Short: "Say what a field of the cluster file is for",
		Long: `Says of a field of the cluster file what it holds, what it does and what it is by default, and which fields it has; without a field, which there are.
It is what the types of the file say of themselves, as does "kubewright schema".`,
		Example:           "  kubewright explain\n  kubewright explain hosts\n  kubewright explain network.flannel.backend\n  kubewright explain etcd --output json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeField,
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", output)}
			}
			s, err := clusterSchema()
			if err != nil {
				return err
			}
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			f, err := s.find(path)
			if err != nil {
				return usageError{err}
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), f)
			}
			return f.show(c.OutOrStdout())
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text, or json on standard output")
	return c
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of cluster files, for editors",
		Long: `Prints the JSON Schema (draft 2020-12) of cluster files. Editors that speak with yaml-language-server, such as VS Code with the extension YAML, complete and check a file by it
whose first line names where it was saved:

  # yaml-language-server: $schema=cluster.schema.json

What a schema cannot say, "kubewright validate" does.`,
		Example: "  kubewright schema >cluster.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(v1alpha1.Schema())
			return err
		},
	}
}

// fileSchema is the schema of cluster files.
type fileSchema struct{ *schema.Node }

func clusterSchema() (fileSchema, error) {
	n, err := schema.Read(v1alpha1.Schema())
	return fileSchema{n}, err
}

// explained is a field, for people and programs.
type explained struct {
	// Field from the file's beginning: "network.flannel.backend"; empty for the file itself.
	Field string `json:"field"`
	// Holds is what may stand there: "text", "list of objects".
	Holds    string      `json:"holds"`
	Required bool        `json:"required,omitempty"`
	Values   []string    `json:"values,omitempty"` // the only ones
	What     string      `json:"what"`
	Fields   []explained `json:"fields,omitempty"` // of it, or of each in a list
}

// index is the place in a list, which says nothing of the field.
var index = regexp.MustCompile(`\[[0-9]*\]`)

// find follows a path of fields.
func (s fileSchema) find(path string) (explained, error) {
	at, done := s.Node, ""
	f := s.explain("", at, true)
	if path == "" {
		return f, nil
	}
	for _, name := range strings.Split(index.ReplaceAllString(path, ""), ".") {
		inside := s.inside(at)
		next := inside.Properties[name]
		if next == nil {
			what, where := "the file", "there are"
			if done != "" {
				what, where = done, "it has"
			}
			if len(inside.Properties) == 0 {
				return f, fmt.Errorf("%s has no fields of its own that are known here; \"kubewright explain %s\" says what it holds", what, done)
			}
			return f, fmt.Errorf("%s has no field %s; %s %s", what, name, where, strings.Join(slices.Sorted(maps.Keys(inside.Properties)), ", "))
		}
		done = strings.TrimPrefix(done+"."+name, ".")
		f = s.explain(done, next, slices.Contains(inside.Required, name))
		at = next
	}
	return f, nil
}

// inside is what has the fields of a field: its type, or that of the items of its list.
func (s fileSchema) inside(n *schema.Node) *schema.Node {
	for n.Items != nil {
		n = n.Items
	}
	return s.Follow(n)
}

// explain says what a field is, and what its fields are.
func (s fileSchema) explain(path string, n *schema.Node, required bool) explained {
	f := s.brief(path, n, required)
	inside := s.inside(n)
	for _, name := range slices.Sorted(maps.Keys(inside.Properties)) {
		f.Fields = append(f.Fields, s.brief(strings.TrimPrefix(path+"."+name, "."), inside.Properties[name], slices.Contains(inside.Required, name)))
	}
	slices.SortStableFunc(f.Fields, func(a, b explained) int { // what has to be said comes first
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return f
}

func (s fileSchema) brief(path string, n *schema.Node, required bool) explained {
	f := explained{Field: path, Holds: s.holds(n, false), Required: required, What: n.Description, Values: s.inside(n).Enum}
	if n.Const != "" {
		f.Values = []string{n.Const}
	}
	return f
}

// holds is what may stand in a field, in words.
func (s fileSchema) holds(n *schema.Node, many bool) string {
	words := map[string][2]string{
		"string": {"text", "texts"}, "integer": {"number", "numbers"}, "boolean": {"true or false", "true or false"}, "object": {"object", "objects"}, "": {"object", "objects"},
	}
	if n.Type == "array" {
		return "list of " + s.holds(n.Items, true)
	}
	if n.Type == "object" && n.Additional == true {
		return "object of anything"
	}
	if _, typed := n.Additional.(map[string]any); typed {
		return "texts by name"
	}
	if many {
		return words[n.Type][1]
	}
	return words[n.Type][0]
}

// show writes it for people.
func (f explained) show(w io.Writer) error {
	var b strings.Builder
	if f.Field != "" {
		fmt.Fprintf(&b, "%s: %s%s\n", f.Field, f.Holds, f.remark())
	}
	for _, line := range wrapped(f.What, 100) {
		b.WriteString("  " + line + "\n")
	}
	if len(f.Fields) > 0 {
		b.WriteString("\n")
		t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		for _, sub := range f.Fields {
			name := sub.Field[strings.LastIndex(sub.Field, ".")+1:]
			lines := wrapped(sub.What, 90)
			fmt.Fprintf(t, "%s\t%s%s\t%s\n", name, sub.Holds, sub.remark(), strings.Join(lines[:min(1, len(lines))], ""))
			for _, line := range lines[min(1, len(lines)):] {
				fmt.Fprintf(t, "\t\t%s\n", line)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f explained) remark() string {
	remark := ""
	if f.Required {
		remark = ", required"
	}
	if len(f.Values) > 0 {
		remark += " (" + strings.Join(f.Values, ", ") + ")"
	}
	return remark
}

// wrapped breaks a text into lines of so many characters, at words.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// completeField completes the name of a field in a shell.
func completeField(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	s, err := clusterSchema()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	f, err := s.find(strings.TrimSuffix(begun[:strings.LastIndex(begun, ".")+1], "."))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, sub := range f.Fields {
		if strings.HasPrefix(sub.Field, begun) {
			names = append(names, sub.Field)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

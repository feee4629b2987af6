package converge

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// difference is one between what kubeadm leaves and what Kubewright does. In the table of differences each has its reason.
type difference struct {
	// of names a file or an object, as in left: "ConfigMap kube-system/coredns". In the table it may be a pattern of files (path.Match), or everyObject: it is so of each that both
	// have.
	of string
	// field is where in it: "spec.replicas", "metadata.labels[k8s-app]", a flag of a program ("--quota-backend-bytes"); empty for the whole.
	field string
	// kubeadm and ours are what stands there: a text as it is, anything else in JSON; empty if nothing does. In the table it may be something.
	kubeadm, ours string
	why           string
}

const (
	// everyObject are those that come of manifests.
	everyObject = "every object but nodes and Secrets"
	// something is what is too long for a table, or always another.
	something = "…"
	// whole is what stands for a file or an object that the other does not have.
	whole = "present"
)

// differences are all between two ways to make a cluster, by what they are of.
func differences(kubeadms, ours left) []difference {
	var all []difference
	for _, of := range union(kubeadms, ours) {
		k, inKubeadms := kubeadms[of]
		o, inOurs := ours[of]
		switch {
		case !inKubeadms:
			all = append(all, difference{of: of, ours: whole})
		case !inOurs:
			all = append(all, difference{of: of, kubeadm: whole})
		default:
			compare("", k, o, func(field, k, o string) { all = append(all, difference{of: of, field: field, kubeadm: k, ours: o}) })
		}
	}
	return all
}

func union[M ~map[string]V, V any](a, b M) []string {
	both := map[string]V{}
	maps.Copy(both, a)
	maps.Copy(both, b)
	return slices.Sorted(maps.Keys(both))
}

// compare finds the fields that differ. What only one has is one difference, however much it holds, but for labels and annotations.
func compare(field string, kubeadms, ours any, found func(field, kubeadms, ours string)) {
	if isEmpty(kubeadms) && isEmpty(ours) {
		return
	}
	k, isMap := byName(kubeadms)
	o, areMaps := byName(ours)
	apart := strings.HasSuffix(field, "metadata.labels") || strings.HasSuffix(field, "metadata.annotations")
	if (!isMap || !areMaps) && !apart {
		if k, o := asText(kubeadms), asText(ours); k != o {
			found(field, k, o)
		}
		return
	}
	for _, name := range union(k, o) {
		compare(within(field, name), k[name], o[name], found)
	}
}

// isEmpty says whether there is nothing to say of a value: what is empty is as if it were not there.
func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// simple are names that need no brackets.
var simple = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// within is the name of a field in another. Flags are known without what they are in.
func within(field, name string) string {
	switch {
	case strings.HasPrefix(name, "--"):
		return name
	case strings.HasPrefix(name, "["):
		return field + name
	case !simple.MatchString(name):
		return field + "[" + name + "]"
	case field == "":
		return name
	}
	return field + "." + name
}

// byName is a map, or a list as one: of what has names, of flags ("--name=value") and what is between them, or of other maps by their places. A list of texts is none: it is
// compared as a whole.
func byName(value any) (map[string]any, bool) {
	list, isList := value.([]any)
	if !isList {
		m, isMap := value.(map[string]any)
		return m, isMap
	}
	m := map[string]any{}
	flags := slices.ContainsFunc(list, isFlag)
	for i, item := range list {
		place := fmt.Sprintf("[%d]", i)
		switch v := item.(type) {
		case map[string]any:
			if name, ok := v["name"].(string); ok {
				place = "[" + name + "]"
			}
			m[place] = v
		case string:
			switch {
			case isFlag(v):
				name, argument, _ := strings.Cut(v, "=")
				m[name] = argument
			case flags:
				m[place] = v
			}
		}
	}
	return m, len(m) == len(list)
}

func isFlag(item any) bool {
	s, ok := item.(string)
	return ok && strings.HasPrefix(s, "--")
}

// asText is a value as it stands in the table.
func asText(value any) string {
	if isEmpty(value) {
		return ""
	}
	if s, ok := value.(string); ok && s != "" {
		return s
	}
	b, _ := json.Marshal(value) // it was JSON before
	return string(b)
}

// unexplained says what is wrong with a table of differences between two ways to make a cluster: what has no reason in it, and what is not so.
func unexplained(kubeadms, ours left, table []difference) []string {
	var wrong []string
	so := make([]map[string]bool, len(table)) // of what each row is so
	for _, d := range differences(kubeadms, ours) {
		at := slices.IndexFunc(table, func(row difference) bool { return row.field == d.field && row.isOf(d.of) })
		if at < 0 {
			wrong = append(wrong, fmt.Sprintf("%s differs, and no reason for it stands in the table", d))
			continue
		}
		if row := table[at]; !fits(row.kubeadm, d.kubeadm) || !fits(row.ours, d.ours) {
			wrong = append(wrong, fmt.Sprintf("%s stands in the table as %s", d, row))
		}
		if so[at] == nil {
			so[at] = map[string]bool{}
		}
		so[at][d.of] = true
	}
	for i, row := range table {
		if row.why == "" {
			wrong = append(wrong, fmt.Sprintf("%s stands in the table without a reason", row))
		}
		if len(so[i]) == 0 {
			wrong = append(wrong, fmt.Sprintf("%s stands in the table, and is not so", row))
			continue
		}
		for of := range kubeadms {
			if _, both := ours[of]; both && row.isOf(of) && !so[i][of] {
				wrong = append(wrong, fmt.Sprintf("%s stands in the table, and is not so of %s", row, of))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// isOf says whether a row of the table is about a file or an object.
func (d difference) isOf(name string) bool {
	if d.of == everyObject {
		return !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "Node ") && !strings.HasPrefix(name, "Secret ")
	}
	matches, err := path.Match(d.of, name)
	return d.of == name || err == nil && matches && strings.HasPrefix(name, "/")
}

func fits(row, is string) bool { return row == is || row == something && is != "" }

func (d difference) String() string {
	name := d.of
	if d.field != "" {
		name += " " + d.field
	}
	return fmt.Sprintf("%s (kubeadm: %q, ours: %q)", name, d.kubeadm, d.ours)
}

func TestUnexplained(t *testing.T) {
	object := func(fields string) map[string]any {
		var m map[string]any
		if err := json.Unmarshal([]byte(fields), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	kubeadms := left{
		"/a":       object(`{"command": ["a", "--x=1", "--y"], "same": [1, {"b": 2}], "none": {}}`),
		"/b":       object(`{"command": ["b", "--x=1"]}`),
		"Role r":   object(`{"metadata": {"name": "r"}, "rules": [{"verbs": ["get", "list"]}, {"verbs": ["watch"]}]}`),
		"Role s":   object(`{"metadata": {"name": "s"}, "subjects": [{"name": "u", "kind": "User"}, {"name": "v", "kind": "User"}]}`),
		"Secret t": object(`{"type": ""}`),
		"theirs":   object(`{}`),
	}
	ours := left{
		"/a":       object(`{"command": ["a", "--y", "--x=2"], "same": [1, {"b": 2}]}`),
		"/b":       object(`{"command": ["b", "--x=3", "--z"]}`),
		"Role r":   object(`{"metadata": {"name": "r", "labels": {"l.io/k": "v"}}, "rules": [{"verbs": ["get"]}, {"verbs": ["watch"]}]}`),
		"Role s":   object(`{"metadata": {"name": "s", "labels": {"l.io/k": "w"}}, "subjects": [{"name": "v", "kind": "User"}, {"name": "u", "kind": "Group"}]}`),
		"Secret t": object(`{}`),
		"ours":     object(`{}`),
	}
	table := []difference{
		{"/b", "--z", "", `""`, "why"},
		{"/?", "--x", "1", something, "why"},
		{everyObject, "metadata.labels[l.io/k]", "", something, "why"},
		{"Role r", "rules[0].verbs", `["get","list"]`, `["get"]`, "why"},
		{"Role s", "subjects[u].kind", "User", "Group", "why"},
		{"Secret t", "type", `""`, "", "why"},
		{"theirs", "", whole, "", "why"},
		{"ours", "", "", whole, "why"},
	}
	if wrong := unexplained(kubeadms, ours, table); len(wrong) > 0 {
		t.Errorf("of a table that is right it says\n%s", strings.Join(wrong, "\n"))
	}
	for i, row := range table { // each is needed, and its values have to be so
		if len(unexplained(kubeadms, ours, slices.Delete(slices.Clone(table), i, i+1))) == 0 {
			t.Errorf("without %s nothing is said", row)
		}
		other := slices.Clone(table)
		other[i].ours += "x"
		if len(unexplained(kubeadms, ours, other)) == 0 {
			t.Errorf("with another value than %s nothing is said", row)
		}
		other[i] = row
		other[i].why = ""
		if len(unexplained(kubeadms, ours, other)) == 0 {
			t.Errorf("without the reason of %s nothing is said", row)
		}
	}
	for _, tt := range []struct {
		row  difference
		want string
	}{
		{difference{"/a", "--y", "1", "2", "why"}, `/a --y (kubeadm: "1", ours: "2") stands in the table, and is not so`},
		{difference{"gone", "", whole, "", "why"}, `gone (kubeadm: "present", ours: "") stands in the table, and is not so`},
	} {
		if wrong := unexplained(kubeadms, ours, append(slices.Clone(table), tt.row)); !slices.Equal(wrong, []string{tt.want}) {
			t.Errorf("it says %q, not %q", wrong, tt.want)
		}
	}
	ours["/b"] = kubeadms["/b"] // what is said of all files is not so of this one any more
	if wrong, want := unexplained(kubeadms, ours, table[1:]), `/? --x (kubeadm: "1", ours: "…") stands in the table, and is not so of /b`; !slices.Equal(wrong, []string{want}) {
		t.Errorf("it says %q, not %q", wrong, want)
	}
}

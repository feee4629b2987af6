package resource

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	secretKind = "Secret"
	// maxFields is how many fields are named each by itself; of more, the object is shown as a text.
	maxFields = 20
	// maxValue is how many bytes of a value are shown in a line.
	maxValue = 120
	// hidden and hiddenToo stand for values that are not shown.
	hidden    = "(not shown)"
	hiddenToo = "(another, not shown)"
	// wholeObject is the name of an object's text.
	wholeObject = "content"

	fieldIs      = " is"
	fieldBecomes = " becomes"
)

// objectChanges are the fields by which two states of an object differ, as values of an Observed: "PATH is" and "PATH becomes", where there is such a field.
func objectChanges(live, trial *unstructured.Unstructured) map[string]string {
	is, becomes := stated(live), stated(trial)
	d := fieldDiffs{secrets: secrets(live.GetKind())}
	d.compare("", is, becomes, true, true)
	shown := 0
	for _, f := range d.found {
		if !f.secret {
			shown++
		}
	}
	values := map[string]string{}
	for _, f := range d.found {
		if f.secret || shown <= maxFields {
			f.into(values)
		}
	}
	if shown > maxFields {
		fieldDiff{path: wholeObject, is: yamlOf(d.secrets.masked("", is)), becomes: yamlOf(d.secrets.masked("", becomes)), inIs: true, inBecomes: true}.into(values)
	}
	return values
}

// stated is what somebody says of an object, without what the server adds at each change, and without what kubectl repeats.
func stated(u *unstructured.Unstructured) map[string]any {
	o := u.DeepCopy().Object
	delete(o, "status")
	for _, name := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(o, "metadata", name)
	}
	for _, name := range []string{"kubectl.kubernetes.io/last-applied-configuration", "deprecated.daemonset.template.generation"} {
		unstructured.RemoveNestedField(o, "metadata", "annotations", name)
	}
	return o
}

// fieldDiff is a field that differs.
type fieldDiff struct {
	path            string
	is, becomes     string
	inIs, inBecomes bool // it is there
	secret          bool
}

func (f fieldDiff) into(values map[string]string) {
	if f.inIs {
		values[f.path+fieldIs] = f.is
	}
	if f.inBecomes {
		values[f.path+fieldBecomes] = f.becomes
	}
}

// fieldDiffs are those of an object.
type fieldDiffs struct {
	secrets secrets
	found   []fieldDiff
}

// compare adds what differs at a path and below.
func (d *fieldDiffs) compare(path string, is, becomes any, inIs, inBecomes bool) {
	if inIs == inBecomes && reflect.DeepEqual(is, becomes) {
		return
	}
	isMap, ok1 := is.(map[string]any)
	becomesMap, ok2 := becomes.(map[string]any)
	if (ok1 || !inIs) && (ok2 || !inBecomes) && len(isMap)+len(becomesMap) > 0 {
		for _, key := range union(slices.Collect(maps.Keys(isMap)), slices.Collect(maps.Keys(becomesMap))) {
			a, inA := isMap[key]
			b, inB := becomesMap[key]
			d.compare(below(path, key), a, b, inA, inB)
		}
		return
	}
	isList, ok1 := is.([]any)
	becomesList, ok2 := becomes.([]any)
	if ok1 && ok2 && d.compareLists(path, isList, becomesList) {
		return
	}
	d.add(path, is, becomes, inIs, inBecomes)
}

// add adds what differs as a whole.
func (d *fieldDiffs) add(path string, is, becomes any, inIs, inBecomes bool) {
	a, b := d.secrets.masked(path, is), d.secrets.masked(path, becomes)
	f := fieldDiff{path: path, inIs: inIs, inBecomes: inBecomes}
	if inIs {
		f.is = valueOf(a)
	}
	if inBecomes {
		f.becomes = valueOf(b)
	}
	f.secret = !reflect.DeepEqual(a, is) || !reflect.DeepEqual(b, becomes)
	if f.secret && f.is == f.becomes {
		f.becomes = hiddenToo
	}
	d.found = append(d.found, f)
}

// compareLists goes through lists whose items can be matched, by name or by place, and says whether they can.
func (d *fieldDiffs) compareLists(path string, is, becomes []any) bool {
	isNames, isItems := namedItems(is)
	becomesNames, becomesItems := namedItems(becomes)
	if isItems != nil && becomesItems != nil {
		before := len(d.found)
		for _, name := range union(isNames, becomesNames) {
			a, inA := isItems[name]
			b, inB := becomesItems[name]
			if inA && inB {
				d.compare(path+"["+name+"]", a, b, true, true)
			} else {
				d.add(path+"["+name+"]", a, b, inA, inB)
			}
		}
		return len(d.found) > before // or else the order differs
	}
	if len(is) != len(becomes) || !onlyMaps(is) || !onlyMaps(becomes) {
		return false
	}
	for i := range is {
		d.compare(path+"["+strconv.Itoa(i)+"]", is[i], becomes[i], true, true)
	}
	return true
}

// namedItems are the items of a list by name, if each has one of its own.
func namedItems(list []any) (names []string, items map[string]any) {
	items = map[string]any{}
	for _, item := range list {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		if _, twice := items[name]; name == "" || twice {
			return nil, nil
		}
		items[name] = item
		names = append(names, name)
	}
	return names, items
}

func onlyMaps(list []any) bool {
	return !slices.ContainsFunc(list, func(item any) bool { _, ok := item.(map[string]any); return !ok })
}

// union is what is in either, sorted.
func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// below is the path of a key in what a path leads to. Keys with dots are in brackets.
func below(path, key string) string {
	switch {
	case path == "":
		return key
	case strings.ContainsAny(key, "./") && path != "data":
		return path + "[" + key + "]"
	}
	return path + "." + key
}

// valueOf is a value for people: a list of simple values is its lines, what has parts is YAML.
func valueOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		if slices.ContainsFunc(v, func(item any) bool {
			switch item.(type) {
			case map[string]any, []any:
				return true
			}
			return false
		}) {
			return yamlOf(v)
		}
		var s strings.Builder
		for _, item := range v {
			fmt.Fprintln(&s, item)
		}
		return s.String()
	case map[string]any:
		return yamlOf(v)
	}
	return fmt.Sprint(v)
}

func yamlOf(v any) string {
	b, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Sprint(v) // never: it came from JSON
	}
	return string(b)
}

// secrets knows what is not shown of an object of a kind.
type secrets string

// hide says whether a value is not shown: that of a Secret, what is called like one ("token", "DB_PASSWORD"), and keys.
func (s secrets) hide(path, value string) bool {
	if s == secretKind && (strings.HasPrefix(path, "data.") || strings.HasPrefix(path, "stringData.")) || strings.Contains(value, "PRIVATE KEY-----") {
		return true
	}
	// The value of a variable is called by its name: env[DB_PASSWORD].value.
	name := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(path, ".value"), "]"))
	name = strings.NewReplacer("_", "", "-", "").Replace(name[strings.LastIndexAny(name, ".[")+1:])
	return slices.ContainsFunc([]string{"token", "password", "passwd", "secret", "apikey", "privatekey", "secretkey", "credentials"}, func(like string) bool {
		return strings.HasSuffix(name, like)
	})
}

// masked is a part of an object without what is not shown.
func (s secrets) masked(path string, v any) any {
	switch v := v.(type) {
	case string:
		if s.hide(path, v) {
			return hidden
		}
	case map[string]any:
		m := map[string]any{}
		for key, item := range v {
			m[key] = s.masked(below(path, key), item)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			m, _ := item.(map[string]any)
			name, _ := m["name"].(string)
			list[i] = s.masked(path+"["+name+"]", item)
		}
		return list
	}
	return v
}

// fieldChanges are the changes that values of an Observed stand for.
func fieldChanges(values map[string]string) []Change {
	paths := map[string]bool{}
	for name := range values {
		path, ok := strings.CutSuffix(name, fieldBecomes)
		if !ok {
			path = strings.TrimSuffix(name, fieldIs)
		}
		paths[path] = true
	}
	var changes []Change
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		is, inIs := values[path+fieldIs]
		becomes, inBecomes := values[path+fieldBecomes]
		c := Change{What: path}
		switch {
		case strings.Contains(is+becomes, "\n") || len(is) > maxValue || len(becomes) > maxValue:
			c.Lines = DiffLines(is, becomes)
			if inIs != inBecomes {
				c.Old, c.New = presence("", inIs), presence("", inBecomes)
			}
		default:
			c.Old, c.New = quoteEmpty(is, inIs), quoteEmpty(becomes, inBecomes)
		}
		changes = append(changes, c)
	}
	return changes
}

// quoteEmpty tells an empty value from none.
func quoteEmpty(value string, there bool) string {
	if value == "" && there {
		return `""`
	}
	return value
}

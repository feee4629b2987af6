package v1alpha1

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// position is a place in a file, both from 1.
type position struct{ line, column int }

// document is a file that is being read: where each field of it stands, and what is wrong so far.
type document struct {
	file      string
	positions map[string]position // by field
	empty     map[string]bool     // fields that are there without a value
	problems  []Problem
	nodes     int  // that were looked at, aliases followed
	values    int  // of fields that may have any
	tooLarge  bool // there were too many
}

// visit counts a node, and says whether there may be more.
func (d *document) visit() bool {
	if d.nodes++; d.nodes > maxNodes && !d.tooLarge {
		d.tooLarge = true
		d.say("", "", "the file is too large, with its aliases written out")
	}
	return !d.tooLarge
}

// maxNodes bounds what aliases can make of a small file.
const maxNodes = 1_000_000

// maxMerges bounds how deep merged fields (<<) merge others, which may be themselves.
const maxMerges = 8

// say notes what is wrong with a field. A field that does not stand in the file is shown at what holds it.
func (d *document) say(field, want, wrong string, a ...any) {
	at := field
	for {
		if p, ok := d.positions[at]; ok {
			d.problems = append(d.problems, Problem{File: d.file, Line: p.line, Column: p.column, Field: field, Wrong: fmt.Sprintf(wrong, a...), Want: want})
			return
		}
		at = parent(at)
	}
}

// parent is the field that holds another; "" holds all.
func parent(field string) string {
	return field[:max(0, strings.LastIndexAny(field, ".["))]
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// decode puts a node into a value, which is one of the types of this package, and notes what does not fit.
func (d *document) decode(n *yaml.Node, field string, v reflect.Value) {
	d.positions[field] = position{n.Line, n.Column}
	if !d.visit() {
		return
	}
	if n.Kind == yaml.AliasNode {
		d.decode(n.Alias, field, v)
		d.positions[field] = position{n.Line, n.Column} // what is wrong is shown where the alias is used
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.empty[field] = true
		return // as if it were not there
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, field, p.Elem())
		v.Set(p)
	case reflect.Struct:
		d.decodeStruct(n, field, v)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.say(field, "a list", "it is %s", kindOf(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, c := range n.Content {
			d.decode(c, fmt.Sprintf("%s[%d]", field, i), v.Index(i))
		}
	case reflect.Map:
		d.decodeMap(n, field, v)
	default:
		d.decodeScalar(n, field, v)
	}
}

// pairs are the keys and values of a mapping, with those of merged mappings (<<) that it does not have itself.
func (d *document) pairs(n *yaml.Node, field string, depth int) (keys []*yaml.Node, values map[string]*yaml.Node) {
	values = map[string]*yaml.Node{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if !d.visit() {
			return keys, values
		}
		switch {
		case k.Tag == "!!merge":
			merges = append(merges, value)
		case k.Kind != yaml.ScalarNode:
			d.positions[field] = position{k.Line, k.Column}
			d.say(field, "plain text", "a key is %s", kindOf(k))
		case values[k.Value] != nil:
			if depth == 0 {
				d.positions[join(field, k.Value)] = position{k.Line, k.Column}
				d.say(join(field, k.Value), "", "it is given twice")
			}
		default:
			keys = append(keys, k)
			values[k.Value] = value
		}
	}
	for _, m := range merges {
		list := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			list = m.Content
		}
		for _, from := range list {
			if from.Kind == yaml.AliasNode {
				from = from.Alias
			}
			if from.Kind != yaml.MappingNode {
				d.say(field, "an alias of fields", "<< merges %s", kindOf(from))
				continue
			}
			if depth >= maxMerges {
				d.say(field, "", "merged fields merge fields, too deep")
				return keys, values
			}
			more, of := d.pairs(from, field, depth+1)
			for _, k := range more {
				if values[k.Value] == nil {
					keys = append(keys, k)
					values[k.Value] = of[k.Value]
				}
			}
		}
	}
	return keys, values
}

func (d *document) decodeStruct(n *yaml.Node, field string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.say(field, "fields: "+strings.Join(slices.Sorted(maps.Keys(fieldsOf(v.Type()))), ", "), "it is %s", kindOf(n))
		return
	}
	fields := fieldsOf(v.Type())
	keys, values := d.pairs(n, field, 0)
	for _, k := range keys {
		index, known := fields[k.Value]
		if !known {
			d.positions[join(field, k.Value)] = position{k.Line, k.Column}
			d.say(join(field, k.Value), "one of "+strings.Join(slices.Sorted(maps.Keys(fields)), ", "), "there is no such field")
			continue
		}
		d.decode(values[k.Value], join(field, k.Value), v.Field(index))
	}
}

// fieldsOf are the indexes of a struct's fields by the names that they have in a file.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	return fields
}

func (d *document) decodeMap(n *yaml.Node, field string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.say(field, "names with values", "it is %s", kindOf(n))
		return
	}
	if v.Type() == reflect.TypeFor[map[string]any]() {
		v.Set(reflect.ValueOf(d.decodeAnyMap(n, field, 0)))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	keys, values := d.pairs(n, field, 0)
	for _, k := range keys {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(values[k.Value], join(field, k.Value), value)
		v.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), value)
	}
}

func (d *document) decodeScalar(n *yaml.Node, field string, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.say(field, wantOf(v), "it is %s", kindOf(n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" {
			d.say(field, "text: put it in quotes", "%s is %s", shown(field, n.Value), kindOf(n))
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		var b bool
		if n.Tag != "!!bool" || n.Decode(&b) != nil {
			d.say(field, wantOf(v), "%q is %s", n.Value, kindOf(n))
			return
		}
		v.SetBool(b)
	case reflect.Int:
		var i int
		if n.Tag != "!!int" || n.Decode(&i) != nil {
			d.say(field, wantOf(v), "%q is %s", n.Value, kindOf(n))
			return
		}
		v.SetInt(int64(i))
	default:
		panic("the cluster file has a field of a kind that cannot be read: " + v.Type().String())
	}
}

// shown is a value as messages may show it: not where it may be a secret that went into the wrong place.
func shown(field, value string) string {
	if strings.Contains(field, ".credentials") {
		return "…"
	}
	return value
}

// wantOf says what a scalar has to be.
func wantOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "text"
}

// kindOf says what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a time"
	case "!!null":
		return "nothing"
	case "!!str":
		return "text"
	}
	return "of type " + n.Tag
}

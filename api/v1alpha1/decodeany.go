package v1alpha1

import (
	"fmt"
	"math"

	"go.yaml.in/yaml/v3"
)

// Bounds of what a field may hold that has any fields: what aliases can make of a small file, and far more than configurations of Kubernetes have.
const (
	maxAnyDepth  = 16
	maxAnyValues = 10_000
	maxAnyKey    = 253
)

// decodeAny makes of a node what JSON would: text, true or false, a whole number (int64) or another one (float64), a list or a map. It is nil, as if it were not
// there, where there is nothing or something that does not fit, which is noted.
func (d *document) decodeAny(n *yaml.Node, field string, depth int) any {
	d.positions[field] = position{n.Line, n.Column}
	if !d.visit() || !d.visitAny(field, depth) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		value := d.decodeAny(n.Alias, field, depth+1)
		d.positions[field] = position{n.Line, n.Column}
		return value
	case yaml.MappingNode:
		return d.decodeAnyMap(n, field, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, c := range n.Content {
			at := fmt.Sprintf("%s[%d]", field, i)
			value := d.decodeAny(c, at, depth+1)
			if d.empty[at] {
				d.say(at, "a value", "it is empty")
			}
			list = append(list, value)
		}
		return list
	}
	return d.decodeAnyScalar(n, field)
}

// visitAny counts a value of any kind, and says whether there may be more and so deep.
func (d *document) visitAny(field string, depth int) bool {
	switch {
	case d.values > maxAnyValues:
		return false
	case depth > maxAnyDepth:
		d.say(field, fmt.Sprintf("at most %d", maxAnyDepth), "it is nested too deep")
		return false
	}
	if d.values++; d.values > maxAnyValues {
		d.say(field, fmt.Sprintf("at most %d", maxAnyValues), "there are too many values, with aliases written out")
		return false
	}
	return true
}

func (d *document) decodeAnyMap(n *yaml.Node, field string, depth int) map[string]any {
	m := map[string]any{}
	keys, values := d.pairs(n, field, 0)
	for _, k := range keys {
		if len(k.Value) == 0 || len(k.Value) > maxAnyKey {
			d.positions[field] = position{k.Line, k.Column}
			d.say(field, fmt.Sprintf("names of 1 to %d characters", maxAnyKey), "a name has %d", len(k.Value))
			continue
		}
		if value := d.decodeAny(values[k.Value], join(field, k.Value), depth+1); value != nil {
			m[k.Value] = value
		}
	}
	return m
}

func (d *document) decodeAnyScalar(n *yaml.Node, field string) any {
	switch n.Tag {
	case "!!null":
		d.empty[field] = true
		return nil
	case "!!str":
		return n.Value
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return i
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	case "!!timestamp":
		d.say(field, "text: put it in quotes", "%s is %s", n.Value, kindOf(n))
		return nil
	}
	d.say(field, "text, a number, true or false", "%q is %s that JSON does not have", n.Value, kindOf(n))
	return nil
}

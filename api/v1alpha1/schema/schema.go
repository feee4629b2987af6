// Package schema makes the JSON Schema of cluster files from the Go types and what is written above their fields. It reads source code and knows nothing
// of clusters; schema.json beside the types is what it made of them.
package schema

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// Node is a schema, or a part of one (JSON Schema, draft 2020-12).
type Node struct {
	Schema      string   `json:"$schema,omitempty"`
	Title       string   `json:"title,omitempty"`
	Ref         string   `json:"$ref,omitempty"`
	Type        string   `json:"type,omitempty"`
	Description string   `json:"description,omitempty"`
	Const       string   `json:"const,omitempty"`
	Enum        []string `json:"enum,omitempty"`
	// Examples is what a field is by default, unless that depends on others, or there are few values anyway. Editors offer it. If it were called default, they
	// would write it, with those of all its neighbours, as soon as somebody begins the object.
	Examples []any `json:"examples,omitempty"`
	// Minimum and Maximum of a number.
	Minimum    *int             `json:"minimum,omitempty"`
	Maximum    *int             `json:"maximum,omitempty"`
	Properties map[string]*Node `json:"properties,omitempty"`
	Required   []string         `json:"required,omitempty"`
	Items      *Node            `json:"items,omitempty"`
	// MinItems is how many items a list has at least.
	MinItems int `json:"minItems,omitempty"`
	// Additional is false, or what values of a map are.
	Additional any              `json:"additionalProperties,omitempty"`
	Defs       map[string]*Node `json:"$defs,omitempty"`

	order []string // of properties, as they are declared: editors write them so
}

// MarshalJSON writes properties in their order.
func (n *Node) MarshalJSON() ([]byte, error) {
	type plain Node
	return json.Marshal(struct {
		*plain
		Properties properties       `json:"properties,omitzero"`
		Defs       map[string]*Node `json:"$defs,omitempty"`
	}{(*plain)(n), properties{n.order, n.Properties}, n.Defs})
}

// properties in an order.
type properties struct {
	order []string
	of    map[string]*Node
}

func (p properties) IsZero() bool { return len(p.of) == 0 }

func (p properties) MarshalJSON() ([]byte, error) {
	b := []byte("{")
	for i, name := range p.order {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.of[name])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

const defs = "#/$defs/"

// Read reads a schema that Generate made.
func Read(content []byte) (*Node, error) {
	n := &Node{}
	if err := json.Unmarshal(content, n); err != nil {
		return nil, fmt.Errorf("reading the schema of cluster files: %w", err)
	}
	return n, nil
}

// Follow is the definition that a part of a schema refers to, or the part itself.
func (n *Node) Follow(part *Node) *Node {
	if name, ok := strings.CutPrefix(part.Ref, defs); ok {
		return n.Defs[name]
	}
	return part
}

// Generate makes the schema of a struct type of the package in a directory. defaults are the values of fields that say nothing, as JSON has them.
func Generate(dir, root string, defaults map[string]any) ([]byte, error) {
	g := generator{structs: map[string]*ast.TypeSpec{}, docs: map[string]string{}, consts: map[string]string{}, typed: map[string]string{}, texts: map[string][]string{},
		values: map[string][]ast.Expr{}, ranges: map[string][]ast.Expr{}, defs: map[string]*Node{}}
	if err := g.read(dir); err != nil {
		return nil, err
	}
	if err := g.define(root); err != nil {
		return nil, err
	}
	top := g.defs[root]
	delete(g.defs, root)
	top.Defs = g.defs
	if err := errors.Join(g.limit(top), g.bound(top), preset(top, top, defaults)); err != nil {
		return nil, err
	}
	top.Schema, top.Title, top.Defs = "https://json-schema.org/draft/2020-12/schema", "A cluster file of Kubewright", g.defs
	b, err := json.MarshalIndent(top, "", "  ")
	return append(b, '\n'), err
}

type generator struct {
	structs map[string]*ast.TypeSpec
	docs    map[string]string     // of types
	consts  map[string]string     // untyped, by name; numbers as they are written
	typed   map[string]string     // typed, by name
	texts   map[string][]string   // types that are text, and the constants that are of them
	values  map[string][]ast.Expr // by field, as in files: what validation takes
	ranges  map[string][]ast.Expr // likewise: the least and the most that it takes
	defs    map[string]*Node
}

// read finds the types and constants of a package.
func (g generator) read(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				g.declared(d)
			case *ast.FuncDecl:
				local := localTexts(d)
				ast.Inspect(d, func(n ast.Node) bool { return g.checked(n, local) })
			}
		}
	}
	return nil
}

func (g generator) declared(d *ast.GenDecl) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			switch t := s.Type.(type) {
			case *ast.StructType:
				g.structs[s.Name.Name] = s
				g.docs[s.Name.Name] = text(d.Doc)
			case *ast.Ident:
				if t.Name == "string" && g.texts[s.Name.Name] == nil {
					g.texts[s.Name.Name] = []string{}
				}
				g.docs[s.Name.Name] = text(d.Doc)
			}
		case *ast.ValueSpec:
			for i, v := range s.Values {
				l, ok := v.(*ast.BasicLit)
				if !ok || d.Tok != token.CONST || l.Kind != token.STRING {
					if ok && d.Tok == token.CONST && l.Kind == token.INT {
						g.consts[s.Names[i].Name] = l.Value
					}
					continue
				}
				value, err := strconv.Unquote(l.Value)
				if err != nil {
					continue
				}
				if t, typed := s.Type.(*ast.Ident); typed {
					g.texts[t.Name] = append(g.texts[t.Name], value)
					g.typed[s.Names[i].Name] = value
				} else {
					g.consts[s.Names[i].Name] = value
				}
			}
		}
	}
}

// localTexts are the constants of a function that are text: const field = "hostPreparation".
func localTexts(f *ast.FuncDecl) map[string]string {
	texts := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.ValueSpec); ok {
			for i, v := range s.Values {
				if l, ok := v.(*ast.BasicLit); ok && l.Kind == token.STRING {
					texts[s.Names[i].Name], _ = strconv.Unquote(l.Value)
				}
			}
		}
		return true
	})
	return texts
}

// checked finds which values validation takes of a field: oneOf(v, "kubeProxy.mode", c.KubeProxy.Mode, NFTables, IPTables), and between which numbers:
// v.between(field+".openFiles", p.OpenFiles, 1024, 1<<30). Fields of objects that stand in several places have no such names.
func (g generator) checked(n ast.Node, local map[string]string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 4 {
		return true
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		if path := pathOf(call.Args[1], local); f.Name == "oneOf" && path != "" {
			g.values[path] = call.Args[3:]
		}
	case *ast.SelectorExpr:
		if path := pathOf(call.Args[0], local); f.Sel.Name == "between" && path != "" {
			g.ranges[path] = call.Args[2:]
		}
	}
	return true
}

// pathOf is the path of a field that an expression stands for; empty if it is known only when the program runs.
func pathOf(e ast.Expr, local map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		path, _ := strconv.Unquote(e.Value)
		return path
	case *ast.Ident:
		return local[e.Name]
	case *ast.BinaryExpr:
		begin, end := pathOf(e.X, local), pathOf(e.Y, local)
		if begin != "" && end != "" {
			return begin + end
		}
	}
	return ""
}

// field is the schema of a field, given by its path; nil if there is none.
func (n *Node) field(path string) *Node {
	at := n
	for key := range strings.SplitSeq(path, ".") {
		if at = n.Follow(at).Properties[key]; at == nil {
			return nil
		}
	}
	return at
}

// limit gives fields that are text the values that validation takes.
func (g generator) limit(top *Node) error {
	var wrong []error
	for path, values := range g.values {
		n := top.field(path)
		if n == nil || n.Type != "string" {
			wrong = append(wrong, fmt.Errorf("validation checks %s, which is no field that is text", path))
			continue
		}
		n.Enum = nil
		for _, v := range values {
			value := ""
			switch v := v.(type) {
			case *ast.BasicLit:
				value, _ = strconv.Unquote(v.Value)
			case *ast.Ident:
				value = cmp.Or(g.consts[v.Name], g.typed[v.Name])
			}
			if value == "" {
				wrong = append(wrong, fmt.Errorf("validation of %s takes something that is no text", path))
				continue
			}
			n.Enum = append(n.Enum, value)
		}
	}
	return errors.Join(wrong...)
}

// bound gives fields that are numbers the least and the most that validation takes.
func (g generator) bound(top *Node) error {
	var wrong []error
	for path, of := range g.ranges {
		n := top.field(path)
		if n == nil || n.Type != "integer" || len(of) != 2 {
			wrong = append(wrong, fmt.Errorf("validation checks %s, which is no field that is a number", path))
			continue
		}
		low, errLow := g.number(of[0])
		high, errHigh := g.number(of[1])
		if err := errors.Join(errLow, errHigh); err != nil {
			wrong = append(wrong, fmt.Errorf("validation of %s: %w", path, err))
			continue
		}
		n.Minimum, n.Maximum = &low, &high
	}
	return errors.Join(wrong...)
}

// number is the value of a number as it is written, of a constant that is one, or of one shifted left: 1<<30.
func (g generator) number(e ast.Expr) (int, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 0, 64)
		return int(n), err
	case *ast.Ident:
		n, err := strconv.ParseInt(g.consts[e.Name], 0, 64)
		return int(n), err
	case *ast.BinaryExpr:
		n, err := g.number(e.X)
		by, errBy := g.number(e.Y)
		if err = errors.Join(err, errBy); err == nil && e.Op == token.SHL {
			return n << by, nil
		}
		return 0, cmp.Or(err, fmt.Errorf("%s is not understood here", e.Op))
	}
	return 0, fmt.Errorf("%T is no number", e)
}

// preset gives fields their defaults as examples, below a part of a schema.
func preset(top, part *Node, defaults map[string]any) error {
	var wrong []error
	for name, n := range top.Follow(part).Properties {
		switch value := defaults[name].(type) {
		case nil:
		case map[string]any:
			wrong = append(wrong, preset(top, n, value))
		default:
			if n.Enum != nil || n.Type == "boolean" {
				continue
			}
			if n.Examples != nil && !reflect.DeepEqual(n.Examples, []any{value}) {
				wrong = append(wrong, fmt.Errorf("%s is %v by default, and elsewhere %v", name, value, n.Examples))
			}
			n.Examples = []any{value}
		}
	}
	return errors.Join(wrong...)
}

// define makes a definition of a struct type, and of those that it consists of.
func (g generator) define(name string) error {
	if g.defs[name] != nil {
		return nil
	}
	spec := g.structs[name]
	if spec == nil {
		return fmt.Errorf("there is no struct type %s", name)
	}
	n := &Node{Type: "object", Description: g.docs[name], Properties: map[string]*Node{}, Additional: false}
	g.defs[name] = n
	var wrong []error
	for _, f := range spec.Type.(*ast.StructType).Fields.List {
		tag := ""
		if f.Tag != nil {
			unquoted, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				return err
			}
			tag = reflect.StructTag(unquoted).Get("json")
		}
		key, options, _ := strings.Cut(tag, ",")
		if key == "" || key == "-" || len(f.Names) != 1 {
			wrong = append(wrong, fmt.Errorf("%s: a field has no name in files", name))
			continue
		}
		field, err := g.of(f.Type)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s.%s: %w", name, key, err))
			continue
		}
		if value, ok := g.consts[f.Names[0].Name]; ok && field.Type == "string" && field.Enum == nil { // Kind of a cluster is the constant Kind
			field.Const = value
		}
		field.Description = lowerFirst(text(f.Doc), f.Names[0].Name, key)
		if field.Description == "" {
			wrong = append(wrong, fmt.Errorf("%s.%s: nothing is written above it", name, key))
		}
		n.Properties[key], n.order = field, append(n.order, key)
		if options != "omitempty" {
			n.Required = append(n.Required, key)
			if field.Type == "array" {
				field.MinItems = 1
			}
		}
	}
	return errors.Join(wrong...)
}

// of is the schema of a type.
func (g generator) of(t ast.Expr) (*Node, error) {
	switch t := t.(type) {
	case *ast.StarExpr:
		return g.of(t.X)
	case *ast.ArrayType:
		items, err := g.of(t.Elt)
		return &Node{Type: "array", Items: items}, err
	case *ast.MapType:
		if value, ok := t.Value.(*ast.Ident); ok && value.Name == "any" {
			return &Node{Type: "object", Additional: true}, nil
		}
		values, err := g.of(t.Value)
		return &Node{Type: "object", Additional: values}, err
	case *ast.Ident:
		switch t.Name {
		case "string":
			return &Node{Type: "string"}, nil
		case "bool":
			return &Node{Type: "boolean"}, nil
		case "int":
			return &Node{Type: "integer"}, nil
		}
		if values, ok := g.texts[t.Name]; ok {
			return &Node{Type: "string", Description: g.docs[t.Name], Enum: values}, nil
		}
		return &Node{Ref: defs + t.Name}, g.define(t.Name)
	}
	return nil, fmt.Errorf("files have nothing of the type %T", t)
}

// text is a comment in one paragraph.
func text(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// lowerFirst calls a field as files do: Go's comments begin with Go's name.
func lowerFirst(doc, name, key string) string {
	if rest, ok := strings.CutPrefix(doc, name+" "); ok {
		return key + " " + rest
	}
	return doc
}

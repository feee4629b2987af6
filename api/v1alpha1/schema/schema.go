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
	"slices"
	"strconv"
	"strings"
)

// Node is a schema, or a part of one (JSON Schema, draft 2020-12).
type Node struct {
	Schema      string           `json:"$schema,omitempty"`
	Title       string           `json:"title,omitempty"`
	Ref         string           `json:"$ref,omitempty"`
	Type        string           `json:"type,omitempty"`
	Description string           `json:"description,omitempty"`
	Const       string           `json:"const,omitempty"`
	Enum        []string         `json:"enum,omitempty"`
	Properties  map[string]*Node `json:"properties,omitempty"`
	Required    []string         `json:"required,omitempty"`
	Items       *Node            `json:"items,omitempty"`
	// Additional is false, or what values of a map are.
	Additional any              `json:"additionalProperties,omitempty"`
	Defs       map[string]*Node `json:"$defs,omitempty"`
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

// Generate makes the schema of a struct type of the package in a directory.
func Generate(dir, root string) ([]byte, error) {
	g := generator{structs: map[string]*ast.TypeSpec{}, docs: map[string]string{}, consts: map[string]string{}, typed: map[string]string{}, texts: map[string][]string{}, values: map[string][]ast.Expr{}, defs: map[string]*Node{}}
	if err := g.read(dir); err != nil {
		return nil, err
	}
	if err := g.define(root); err != nil {
		return nil, err
	}
	top := g.defs[root]
	delete(g.defs, root)
	top.Defs = g.defs
	if err := g.limit(top); err != nil {
		return nil, err
	}
	top.Schema, top.Title, top.Defs = "https://json-schema.org/draft/2020-12/schema", "A cluster file of Kubewright", g.defs
	b, err := json.MarshalIndent(top, "", "  ")
	return append(b, '\n'), err
}

type generator struct {
	structs map[string]*ast.TypeSpec
	docs    map[string]string     // of types
	consts  map[string]string     // untyped, by name
	typed   map[string]string     // typed, by name
	texts   map[string][]string   // types that are text, and the constants that are of them
	values  map[string][]ast.Expr // by field, as in files: what validation takes
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
				ast.Inspect(d, g.checked)
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
			}
		case *ast.ValueSpec:
			for i, v := range s.Values {
				l, ok := v.(*ast.BasicLit)
				if !ok || d.Tok != token.CONST || l.Kind != token.STRING {
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

// checked finds which values validation takes of a field: oneOf(v, "kubeProxy.mode", c.KubeProxy.Mode, NFTables, IPTables).
func (g generator) checked(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 4 {
		return true
	}
	name, named := call.Fun.(*ast.Ident)
	field, literal := call.Args[1].(*ast.BasicLit)
	if !named || name.Name != "oneOf" || !literal {
		return true
	}
	if path, err := strconv.Unquote(field.Value); err == nil {
		g.values[path] = call.Args[3:]
	}
	return true
}

// limit gives fields that are text the values that validation takes.
func (g generator) limit(top *Node) error {
	var wrong []error
	for path, values := range g.values {
		n := top
		for key := range strings.SplitSeq(path, ".") {
			if n = top.Follow(n).Properties[key]; n == nil {
				break
			}
		}
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
		n.Properties[key] = field
		if options != "omitempty" {
			n.Required = append(n.Required, key)
		}
	}
	slices.Sort(n.Required)
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
			return &Node{Type: "string", Enum: values}, nil
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

package v1alpha1

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Parse reads a cluster file. The name is for messages. What is wrong with it is an InvalidError, which holds all of it; what it returns is
// complete, with defaults filled in and ranges of hosts written out.
func Parse(name string, content []byte) (*Cluster, error) {
	d := &document{file: name, positions: map[string]position{"": {1, 1}}, empty: map[string]bool{}}
	root := d.read(content)
	if root == nil {
		return nil, InvalidError{d.problems}
	}
	c := &Cluster{}
	d.decode(root, "", reflect.ValueOf(c).Elem())
	v := validation{document: d}
	v.check(c)
	if len(d.problems) > 0 {
		return nil, InvalidError{sortProblems(d.problems)}
	}
	c.Hosts = v.hosts
	c.setDefaults()
	return c, nil
}

// yamlLine is where a YAML parser says that something is wrong.
var yamlLine = form(`line (\d+): (.*)`)

// read makes a tree of a file, or says why not.
func (d *document) read(content []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var n, more yaml.Node
	err := decoder.Decode(&n)
	if errors.Is(err, io.EOF) || err == nil && (len(n.Content) == 0 || n.Content[0].Tag == "!!null") {
		d.say("", "apiVersion, kind, name and hosts", "the file is empty")
		return nil
	}
	if err == nil {
		err = decoder.Decode(&more)
		if errors.Is(err, io.EOF) || err == nil && (len(more.Content) == 0 || more.Content[0].Tag == "!!null") {
			return n.Content[0] // a file may end with ---
		}
		if err == nil {
			d.positions[""] = position{max(1, more.Line), max(1, more.Column)}
			d.say("", "one document", "the file holds several, separated by ---")
			return nil
		}
	}
	wrong := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine().FindStringSubmatch(err.Error()); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil {
			d.positions[""] = position{line, 1}
			wrong = m[2]
		}
	}
	d.say("", "YAML", "it is not YAML: %s", wrong)
	return nil
}

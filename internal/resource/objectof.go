package resource

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// ObjectsOf makes the objects of a manifest: documents of YAML with one object each. In it ${name} stands for the value of that name, written as JSON, which is
// YAML, too. What is null then is not said at all: nobody else's value is taken away by it. All objects get the labels of the component.
func ObjectsOf(api API, component, manifest string, values map[string]any) ([]KubeObject, error) {
	text, err := fill(manifest, values)
	if err != nil {
		return nil, fmt.Errorf("filling in the manifest of %s: %w", component, err)
	}
	var objects []KubeObject
	for document := range strings.SplitSeq(text, "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return nil, fmt.Errorf("reading the manifest of %s: %w", component, err)
		}
		label(object, component)
		o, err := NewKubeObject(api, said(object))
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// fill puts values in the places of their names.
func fill(manifest string, values map[string]any) (string, error) {
	var wrong error
	text := os.Expand(manifest, func(name string) string { // $(NAME), which Kubernetes expands itself, stays as it is
		value, known := values[name]
		if !known {
			wrong = fmt.Errorf("nothing is called %q", name)
		}
		b, err := json.Marshal(value)
		if err != nil {
			wrong = fmt.Errorf("%s cannot be written as JSON: %w", name, err)
		}
		return string(b)
	})
	return text, wrong
}

// label says in an object whose it is.
func label(object map[string]any, component string) {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return // the API refuses an object without a name
	}
	labels, ok := metadata["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
		metadata["labels"] = labels
	}
	labels[ManagedByLabel], labels[ComponentLabel] = ManagedBy, component
}

// said is a value without what is null in it.
func said(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			if field == nil {
				delete(v, name)
				continue
			}
			v[name] = said(field)
		}
	case []any:
		for i := range v {
			v[i] = said(v[i])
		}
	}
	return value
}

// OnlyObjects are the resources of a step that has a component be these objects and no others: the objects in their order, and after them what prunes.
func OnlyObjects(api API, component string, objects []KubeObject) []Resource {
	var list []Resource
	for _, o := range objects {
		list = append(list, o)
	}
	return append(list, NewKubeObjects(api, component, objects))
}

// NewKubeObjects says that a component consists of some objects.
func NewKubeObjects(api API, component string, objects []KubeObject) KubeObjects {
	k := KubeObjects{API: api, Component: component}
	for _, o := range objects {
		k.Keep = append(k.Keep, o.ID().Name)
	}
	return k
}

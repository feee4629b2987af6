package resource

import (
	"math"
	"strings"
	"testing"
)

const testManifest = `# who
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: b}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  labels: {app: x}
spec:
  replicas: ${replicas}
  text: ${text}
  list: [{name: $(NAME), none: ${nothing}}]
  nothing: ${nothing}
`

func TestObjectsOf(t *testing.T) {
	api := API{Servers: []string{"10.0.0.1:6443"}}
	objects, err := ObjectsOf(api, "part", testManifest, map[string]any{"replicas": 2, "text": "two\nlines: \"${text}\"", "nothing": nil})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"labels":{"app.kubernetes.io/managed-by":"kubewright","kubewright.dev/component":"part"},"name":"a","namespace":"b"}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"labels":{"app":"x","app.kubernetes.io/managed-by":"kubewright","kubewright.dev/component":"part"},"name":"a"},` +
			`"spec":{"list":[{"name":"$(NAME)"}],"replicas":2,"text":"two\nlines: \"${text}\""}}`,
	}
	if len(objects) != len(want) {
		t.Fatalf("there are %d objects; want %d", len(objects), len(want))
	}
	for i, o := range objects {
		if string(o.Object) != want[i] {
			t.Errorf("it is\n%s\nwant\n%s", o.Object, want[i])
		}
		if len(o.API.Servers) != 1 {
			t.Errorf("%s has not the API that was given", o.ID())
		}
	}
	list := OnlyObjects(api, "part", objects)
	keep, ok := list[len(list)-1].(KubeObjects)
	if !ok || len(list) != 3 || keep.Component != "part" || strings.Join(keep.Keep, ", ") != "ServiceAccount b/a, Deployment a" {
		t.Errorf("the resources are %v", list)
	}
}

func TestObjectsOfSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, manifest string
		values         map[string]any
		says           string
	}{
		{"no such value", "a: ${b}", nil, `nothing is called "b"`},
		{"no JSON", "a: ${b}", map[string]any{"b": math.NaN()}, "b cannot be written as JSON"},
		{"no YAML", "a: [", nil, "reading the manifest of part"},
	} {
		if _, err := ObjectsOf(API{}, "part", c.manifest, c.values); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q", c.name, err, c.says)
		}
	}
}

package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/api/v1alpha1/schema"
)

var update = flag.Bool("update", false, "write schema.json anew")

// The schema is that of the types.
func TestSchemaIsCurrent(t *testing.T) {
	made, err := schema.Generate("..", "Cluster", defaults(t))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../schema.json", made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(made, v1alpha1.Schema()) && !*update {
		t.Error("api/v1alpha1/schema.json is not that of the types; go test ./api/v1alpha1/schema -update writes it anew")
	}
}

// defaults are what clusters have in common that say nothing of it, but for what they have to say.
func defaults(t *testing.T) map[string]any {
	t.Helper()
	var all []map[string]any
	for _, file := range []string{
		"name: a\nhosts: [{name: m1, address: 10.0.0.1, roles: [control-plane]}]",
		"name: b\nhosts: [{name: m1, address: 10.0.0.1, roles: [control-plane]}, {name: m2, address: 10.0.0.2, roles: [worker]}]\ntimeSync: {servers: [10.0.0.9]}",
	} {
		c, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\n"+file+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		content, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var values map[string]any
		if err := json.Unmarshal(content, &values); err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{"apiVersion", "kind", "name", "hosts"} {
			delete(values, said)
		}
		all = append(all, values)
	}
	return common(all[0], all[1])
}

// common is what two objects have in common.
func common(a, b map[string]any) map[string]any {
	both := map[string]any{}
	for name, value := range a {
		of, nested := value.(map[string]any)
		other, also := b[name].(map[string]any)
		switch {
		case nested && also:
			both[name] = common(of, other)
		case reflect.DeepEqual(value, b[name]):
			both[name] = value
		}
	}
	return both
}

// A validator of other people's takes and refuses files by it as Parse does, as far as a schema can say it.
func TestSchemaValidates(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(v1alpha1.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cluster.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(content []byte) error {
		b, err := yaml.YAMLToJSON(content)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return compiled.Validate(withoutEmpty(v))
	}
	files, err := filepath.Glob("../testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cluster files: %v", err)
	}
	taken := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v1alpha1.Parse(file, content); err != nil {
			continue // what else is wrong with it a schema cannot know
		}
		taken++
		if err := validate(content); err != nil {
			t.Errorf("%s is well, and the schema does not take it: %v", file, err)
		}
	}
	if taken == 0 {
		t.Error("no cluster file is well")
	}
	const minimal = "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: c\nhosts: [{name: m1, address: 10.0.0.1, roles: [control-plane]}]\n"
	for name, more := range map[string]string{
		"an unknown field":       "colour: blue\n",
		"an unknown field below": "network: {colour: blue}\n",
		"another type":           "network: {nodeMask: wide}\n",
		"text for a list":        "network: {podRanges: 10.244.0.0/16}\n",
		"an unknown value":       "network: {plugin: other}\n",
		"an unknown mode":        "kubeProxy: {mode: userspace}\n",
		"an unknown algorithm":   "certificates: {algorithm: dsa}\n",
		"a number as text":       "hostPreparation: {sysctls: {vm.swappiness: 1}}\n",
		"a value of another":     "hostPreparation: {firewall: permissive}\n",
		"too large a number":     "apiServer: {port: 65536}\n",
		"too small a number":     "hostPreparation: {openFiles: 1023}\n",
	} {
		if err := validate([]byte(minimal + more)); err == nil {
			t.Errorf("the schema takes %s", name)
		}
		if _, err := v1alpha1.Parse("cluster.yaml", []byte(minimal+more)); err == nil {
			t.Errorf("Parse takes %s", name)
		}
	}
	if err := validate([]byte(minimal)); err != nil {
		t.Errorf("the schema does not take a minimal file: %v", err)
	}
	for from, to := range map[string]string{"name: c\n": "", "[control-plane]": "[]", "roles:": "taints: [{key: a, effect: Never}], roles:", "hosts: [": "hosts: []\nfiles: ["} {
		if err := validate([]byte(strings.Replace(minimal, from, to, 1))); err == nil {
			t.Errorf("the schema takes a file with %q for %q", to, from)
		}
	}
	if err := json.Unmarshal(v1alpha1.Schema(), &schema.Node{}); err != nil {
		t.Error(err)
	}
}

// withoutEmpty leaves out fields whose value is left empty: they are as if they were not there, and editors may well say that something is missing.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == nil {
				delete(v, key)
			} else {
				v[key] = withoutEmpty(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	}
	return v
}

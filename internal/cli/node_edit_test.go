package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The file is replaced as a whole where it really is, with the permissions that it had, or is left alone.
func TestNodeEdit(t *testing.T) {
	example := exampleFile(t)
	t.Chdir(t.TempDir())
	for _, err := range []error{os.WriteFile("real.yaml", []byte(example), 0o600), os.Symlink("real.yaml", "cluster.yaml"), os.Symlink("real.yaml", "prod.yaml")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func() string {
		t.Helper()
		content, err := os.ReadFile("real.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	out, err := said("node", "add", "worker21", "10.0.1.21")
	const line = "- {name: worker21, address: 10.0.1.21, roles: [worker]}\n"
	if err != nil || !strings.Contains(out, "\n+"+line) || !strings.HasSuffix(out, "Nothing was done on hosts. Now: kubewright plan, kubewright apply\n") {
		t.Fatalf("%v, and it says\n%s", err, out)
	}
	if got := file(); strings.Replace(got, line, "", 1) != example {
		t.Errorf("the file is\n%s", got)
	}
	if i, err := os.Stat("real.yaml"); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", i.Mode(), err)
	}
	if to, err := os.Readlink("cluster.yaml"); err != nil || to != "real.yaml" {
		t.Errorf("the link leads to %q, %v", to, err)
	}

	out, err = said("node", "replace", "worker21", "10.0.1.21", "--file", "prod.yaml")
	if want := "prod.yaml says so already.\nNothing was done on hosts. Now: kubewright plan prod.yaml, kubewright apply prod.yaml\n"; err != nil || out != want {
		t.Errorf("%v, and it says %q", err, out)
	}
	out, err = said("node", "remove", "worker21", "--output", "json")
	var done edited
	if err != nil || json.Unmarshal([]byte(out), &done) != nil || !done.Changed || done.File != "cluster.yaml" || !strings.Contains(done.Diff, "\n-"+line) || file() != example {
		t.Errorf("%v, and it says %s", err, out)
	}

	for args, want := range map[string]string{
		"node add worker21":                                 "want a name and an address for each host",
		"node add worker21 10.0.1.21 --yes":                 "--yes is for --apply",
		"node add worker21 10.0.1.21 --apply --output json": "say --yes",
		"node add worker21 10.0.1.21 --role king":           "king",
		"node add worker21 10.0.1.21 --output xml":          "want text or json",
		"node add worker21 10.0.1.21 --file -":              "want a file that can be changed",
		"node add worker21 10.0.1.21 --file none.yaml":      "none.yaml",
		"node add cp4 10.0.0.14 --role control-plane":       "is left as it is, since it would not be valid:\ncluster.yaml:",
		"node remove":             "requires at least 1 arg",
		"node remove cp1":         "an even number",
		"node remove cp1 cp2 cp3": "no control plane would be left",
		"node remove m9":          "cluster.yaml has no host m9",
		"node replace cp1":        "accepts 2 arg",
		"node replace cp1 10.0.0.12 --as cp4 --yes --apply":      "10.0.0.12",
		"node replace cp1 10.0.0.14 --as worker01 --output text": "cluster.yaml has a host worker01 already",
	} {
		if out, err := said(strings.Fields(args)...); exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, and it says %s", args, err, out)
		}
	}
	if file() != example {
		t.Errorf("the file is\n%s", file())
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 3 {
		t.Errorf("there are %v, %v", left, err)
	}
}

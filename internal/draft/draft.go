// Package draft writes first cluster files: short ones that are right for most, with a word on what somebody may want to change, or with all that could be said. It
// makes text of what it is given, which may be what was found on hosts, and looks at nothing.
package draft

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/api/v1alpha1/schema"
	"github.com/kubewright/kubewright/internal/facts"
)

// Host is a machine that a file is to name. Without a name it gets the one that it calls itself, if it was looked at, or one by its role.
type Host struct {
	Name, Address string
	// Found is what it is; nil if it was not looked at, or did not answer.
	Found *facts.Host
	// Silent is why it did not answer; empty if it did, or was not looked at.
	Silent string
}

// Input is what is known of a cluster that is to be.
type Input struct {
	Name string
	// Version of Kubernetes; may be empty.
	Version string
	// User and Key are how hosts are logged in to; may be empty.
	User, Key string
	Hosts     []Host
	// ControlPlanes is how many of the hosts are; 0 leaves it to Split.
	ControlPlanes int
	// Full adds all other fields, each with what is written of it and its default, as comments.
	Full bool
}

// Split says how many of so many hosts are control planes, and whether these are workers, too: three, of which one may fail, as soon as there are three hosts;
// and with fewer than four hosts nobody else can carry what users run.
func Split(hosts int) (controlPlanes int, alsoWorkers bool) {
	switch {
	case hosts >= 4:
		return 3, false
	case hosts == 3:
		return 3, true
	default:
		return 1, hosts == 1
	}
}

// File writes a cluster file: of hosts that were looked at with what they are, and how others reach them where that has to be said. It is checked to be one; a mistake in what it was given is an error that says so (v1alpha1.InvalidError).
func File(in Input) (string, error) {
	if len(in.Hosts) == 0 {
		return "", errors.New("a cluster needs hosts")
	}
	planes, workers := Split(len(in.Hosts))
	if in.ControlPlanes != 0 {
		planes, workers = in.ControlPlanes, in.ControlPlanes == len(in.Hosts)
	}
	if planes > len(in.Hosts) {
		return "", fmt.Errorf("of %d hosts, %d cannot be control planes", len(in.Hosts), planes)
	}
	hosts := arranged(in.Hosts)
	named(hosts, planes)
	inside := inside(hosts)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# A cluster file of Kubewright. \"kubewright explain FIELD\" says what else there is, \"kubewright validate\" what is wrong with it, and \"kubewright plan\" what")
	line("# would be done.")
	line("apiVersion: %s\nkind: %s", v1alpha1.APIVersion, v1alpha1.Kind)
	line("# It names the cluster in certificates and cannot be changed later.")
	line("name: %s", quoted(in.Name))
	if in.Version != "" {
		line("# Another version is an upgrade.")
		line("kubernetesVersion: %s", in.Version)
	}
	if in.User != "" || in.Key != "" {
		var ssh []string
		if in.User != "" {
			ssh = append(ssh, "user: "+quoted(in.User))
		}
		if in.Key != "" {
			ssh = append(ssh, "key: "+quoted(in.Key))
		}
		line("ssh: {%s}", strings.Join(ssh, ", "))
	} else {
		line("# Hosts are logged in to as ~/.ssh/config says, or as root; any user who may use sudo will do.")
		line("#ssh: {user: root, key: ~/.ssh/id_ed25519}")
	}
	line("hosts:")
	switch {
	case planes == 1:
		line("# One control plane: when it is down, nothing can be changed in the cluster. With three, one may fail.")
	case planes == 2:
		line("# Two control planes are worse than one: neither may fail.")
	default:
		line("# Of %d control planes, %d may fail.", planes, (planes-1)/2)
	}
	if workers {
		line("# They carry what you run, too: there is nobody else to.")
	}
	for i, h := range hosts {
		if i == planes {
			line("# A range is a line, too: {name: \"w[4-9]\", address: \"10.0.1.[4-9]\", roles: [worker]}.")
		}
		moved := i >= planes && slices.ContainsFunc(in.Hosts[:planes], func(o Host) bool { return o.Address == h.Address })
		for _, r := range h.remarks(inside[i], i < planes, moved) {
			line("# %s", r)
		}
		roles, internal := "worker", ""
		if i < planes {
			if roles = "control-plane"; workers {
				roles += ", worker"
			}
		}
		if inside[i] != "" {
			internal = ", internalAddresses: [" + quoted(inside[i]) + "]"
		}
		line("- {name: %s, address: %s%s, roles: [%s]}", quoted(h.Name), quoted(h.Address), internal, roles)
	}
	c, err := v1alpha1.Parse("cluster.yaml", []byte(b.String()))
	if err != nil {
		return "", err
	}
	if in.Full {
		rest, err := everything(c)
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + rest)
	}
	return b.String(), nil
}

// quoted is a text as YAML has it in a line: plain where that is the same.
func quoted(s string) string {
	b, err := yaml.Marshal(s)
	if err != nil || strings.ContainsAny(s, ",[]{}\n") {
		return fmt.Sprintf("%q", s)
	}
	return strings.TrimSpace(string(b))
}

// said are the fields that the file says already.
var said = []string{"apiVersion", "kind", "name", "hosts", "kubernetesVersion", "ssh"}

// everything are all other fields of a cluster, as comments, with its defaults.
func everything(c *v1alpha1.Cluster) (string, error) {
	s, err := schema.Read(v1alpha1.Schema())
	if err != nil {
		return "", err
	}
	content, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	var values map[string]any
	if err := json.Unmarshal(content, &values); err != nil {
		return "", err
	}
	var b strings.Builder
	w := writer{b: &b, schema: s}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(said, name) {
			b.WriteString("\n")
			w.field("", name, s.Properties[name], values[name])
		}
	}
	return strings.TrimPrefix(b.String(), "\n"), nil
}

// writer writes fields as comments: taking the # away from a field, and from those that it stands in, makes it one.
type writer struct {
	b      *strings.Builder
	schema *schema.Node
}

func (w writer) field(indent, name string, n *schema.Node, value any) {
	fmt.Fprintf(w.b, "#%s# %s\n", indent, n.Description)
	if def := w.schema.Follow(n); def != n {
		fmt.Fprintf(w.b, "#%s%s:\n", indent, name)
		fields, _ := value.(map[string]any)
		for _, sub := range slices.Sorted(maps.Keys(def.Properties)) {
			w.field(indent+"  ", sub, def.Properties[sub], fields[sub])
		}
		return
	}
	if value == nil {
		value = empty(n)
	}
	text, err := json.Marshal(value) // which is YAML
	if err != nil || value == nil {
		text = nil
	}
	fmt.Fprintln(w.b, strings.TrimSpace(fmt.Sprintf("#%s%s: %s", indent, name, text)))
}

// empty is the value of a field that nothing is said of.
func empty(n *schema.Node) any {
	switch n.Type {
	case "array":
		return []any{}
	case "object":
		return map[string]any{}
	case "boolean":
		return false
	case "string":
		return ""
	}
	return nil
}

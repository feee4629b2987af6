package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/internal/kube"
)

// NodeTaint is a taint of a node.
type NodeTaint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// name is what makes it another taint than others: "node-role.kubernetes.io/control-plane:NoSchedule".
func (t NodeTaint) name() string { return t.Key + ":" + t.Effect }

// Node is the node of a machine in the API, as far as the cluster file speaks of it. It is never made: its kubelet registers it, and applying this waits for that, two
// minutes at most. It stays: if it was cordoned for it to leave (LeavingAnnotation), it is no longer.
type Node struct {
	API  API    `json:"api"`
	Name string `json:"name"`
	// Labels and Taints that it shall have; others may be there. Those that Kubewright set before and that are no longer wanted go.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []NodeTaint       `json:"taints,omitempty"`
}

const (
	// registerTime is how long a kubelet may take until its node is there. It takes a second or two once an API server answers.
	registerTime = 2 * time.Minute
	// registerPause is between looking and looking again.
	registerPause = 250 * time.Millisecond

	// labelsAnnotation and taintsAnnotation of a node name the labels and taints that Kubewright set, sorted, with commas between them. (The API cannot tell for
	// taints: their list is one value to server-side apply, listType=atomic.)
	labelsAnnotation = "kubewright.dev/labels"
	taintsAnnotation = "kubewright.dev/taints"
)

// ID is the name.
func (n Node) ID() ID { return ID{"node", n.Name} }

// OfCluster says that it is the cluster's.
func (n Node) OfCluster() {}

func (n Node) ref() kube.Ref { return nodeRef(n.Name) }

func nodeRef(name string) kube.Ref { return kube.Ref{APIVersion: "v1", Kind: "Node", Name: name} }

// Observe finds the labels ("label KEY") and taints ("taint KEY:EFFECT") that it shall have or that Kubewright set, and which these are ("set labels", "set taints"). Of one that was to
// leave it finds whether it is cordoned still ("leaving": yes or no).
func (n Node) Observe(ctx context.Context, env *Env) (Observed, error) {
	c, err := n.API.open(ctx, env)
	if n.API.unmade(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	live, err := c.Get(ctx, n.ref())
	if kube.IsNotFound(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, passing(fmt.Errorf("reading the node %s: %w", n.Name, err))
	}
	o := Observed{State: Present, Values: map[string]string{}}
	annotations := live.GetAnnotations()
	labels := live.GetLabels()
	for _, key := range union(n.labelNames(), listed(annotations[labelsAnnotation])) {
		if value, ok := labels[key]; ok {
			o.Values["label "+key] = value
		}
	}
	wanted := union(n.taintNames(), listed(annotations[taintsAnnotation]))
	for _, item := range taintItems(live) {
		if t := taintOf(item); slices.Contains(wanted, t.name()) {
			o.Values["taint "+t.name()] = t.Value
		}
	}
	o.Values["set labels"], o.Values["set taints"] = annotations[labelsAnnotation], annotations[taintsAnnotation]
	if isLeaving(live) {
		o.Values["leaving"] = yesNo(isCordoned(live))
	}
	return o, nil
}

// listed is the reverse of joining by commas.
func listed(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// taintItems are the taints of a node as they are: with the time that controllers note in some.
func taintItems(node *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(node.Object, "spec", "taints")
	return list
}

func taintOf(item any) NodeTaint {
	m, _ := item.(map[string]any)
	key, _ := m["key"].(string)
	value, _ := m["value"].(string)
	effect, _ := m["effect"].(string)
	return NodeTaint{key, value, effect}
}

func (n Node) labelNames() []string { return slices.Sorted(maps.Keys(n.Labels)) }

func (n Node) taintNames() []string {
	var names []string
	for _, t := range n.Taints {
		names = append(names, t.name())
	}
	slices.Sort(names)
	return names
}

// Diff names each label and taint that changes.
func (n Node) Diff(o Observed) []Change {
	var changes []Change
	if o.State == Absent {
		changes = append(changes, Change{What: "registered", Old: "no", New: "yes"})
	}
	add := func(kind, name, want string, wanted bool) {
		is, there := o.Values[kind+" "+name]
		if there != wanted || is != want {
			changes = append(changes, Change{What: kind + " " + name, Old: presence(is, there), New: presence(want, wanted)})
		}
	}
	for _, key := range union(n.labelNames(), listed(o.Value("set labels"))) {
		want, ok := n.Labels[key]
		add("label", key, want, ok)
	}
	for _, name := range union(n.taintNames(), listed(o.Value("set taints"))) {
		i := slices.IndexFunc(n.Taints, func(t NodeTaint) bool { return t.name() == name })
		if i < 0 {
			add("taint", name, "", false)
		} else {
			add("taint", name, n.Taints[i].Value, true)
		}
	}
	switch o.Value("leaving") {
	case "yes":
		changes = append(changes, Change{What: "cordoned", Old: "yes", New: "no", Why: "it was to leave, and stays"})
	case "no":
		changes = append(changes, Change{What: "annotation " + LeavingAnnotation, Old: "present", New: "absent"})
	}
	if len(changes) > 0 {
		return changes
	}
	// What is so already has to be known as set all the same, to go when it is no longer wanted.
	for annotation, names := range map[string][2]string{
		labelsAnnotation: {o.Value("set labels"), strings.Join(n.labelNames(), ",")},
		taintsAnnotation: {o.Value("set taints"), strings.Join(n.taintNames(), ",")},
	} {
		if names[0] != names[1] {
			changes = append(changes, Change{What: "annotation " + annotation, Old: names[0], New: names[1]})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.What, b.What) })
	return changes
}

// presence is the value of a label or taint, which may be empty.
func presence(value string, there bool) string {
	switch {
	case !there:
		return "absent"
	case value == "":
		return "present"
	}
	return value
}

// Apply waits until the node is there, and sets its labels and taints; one that was to leave is uncordoned.
func (n Node) Apply(ctx context.Context, env *Env) error {
	live, err := n.registered(ctx, env)
	if err != nil {
		return err
	}
	c, err := n.API.open(ctx, env)
	if err != nil {
		return err
	}
	return changeNode(ctx, c, live, n.patch)
}

// changeNode changes a node by a patch (JSON merge patch) that is made of what it is, and holds for this version of it only; none changes nothing. Controllers change nodes, too: each time
// that one was faster, it is looked at again.
func changeNode(ctx context.Context, c *kube.Client, live *unstructured.Unstructured, patch func(live *unstructured.Unstructured) map[string]any) error {
	ref := kube.RefOf(live)
	for range 5 {
		change := patch(live)
		if change == nil {
			return nil
		}
		b, err := json.Marshal(change)
		if err != nil {
			return err
		}
		_, err = c.Patch(ctx, ref, types.MergePatchType, b)
		if !kube.IsConflict(err) {
			if err != nil {
				return passing(fmt.Errorf("changing the node %s: %w", ref.Name, err))
			}
			return nil
		}
		if live, err = c.Get(ctx, ref); err != nil {
			return passing(fmt.Errorf("reading the node %s: %w", ref.Name, err))
		}
	}
	return TransientError{fmt.Errorf("the node %s changes all the time, so it could not be changed", ref.Name)}
}

// registered waits until the node is there.
func (n Node) registered(ctx context.Context, env *Env) (*unstructured.Unstructured, error) {
	limited, cancel := context.WithTimeout(ctx, registerTime)
	defer cancel()
	tick := time.NewTicker(registerPause)
	defer tick.Stop()
	said := ""
	for {
		live, err := n.look(limited, env)
		if err == nil {
			return live, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, passes := errors.AsType[TransientError](err); !passes {
			return nil, err
		}
		if said != err.Error() {
			said = err.Error()
			env.progress(said)
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return nil, fmt.Errorf("within %s the node %s was not registered: %s; \"journalctl -u kubelet\" on it says more", registerTime, n.Name, said)
		}
	}
}

// look reads the node; that it is not there yet may pass.
func (n Node) look(ctx context.Context, env *Env) (*unstructured.Unstructured, error) {
	c, err := n.API.open(ctx, env)
	if err != nil {
		return nil, err
	}
	live, err := c.Get(ctx, n.ref())
	if kube.IsNotFound(err) {
		return nil, TransientError{fmt.Errorf("the kubelet of %s has not registered its node yet", n.Name)}
	}
	return live, passing(err)
}

// patch is what changes the node (JSON merge patch): labels and annotations that are null go. The list of taints is one value, which is that of this very version of the node.
func (n Node) patch(live *unstructured.Unstructured) map[string]any {
	was := live.GetAnnotations()
	labels := map[string]any{}
	for _, key := range listed(was[labelsAnnotation]) {
		labels[key] = nil
	}
	for key, value := range n.Labels {
		labels[key] = value
	}
	taints := slices.DeleteFunc(taintItems(live), func(item any) bool {
		name := taintOf(item).name()
		return slices.Contains(listed(was[taintsAnnotation]), name) || slices.Contains(n.taintNames(), name)
	})
	for _, t := range n.Taints {
		item := map[string]any{"key": t.Key, "effect": t.Effect}
		if t.Value != "" {
			item["value"] = t.Value
		}
		taints = append(taints, item)
	}
	annotations := map[string]any{labelsAnnotation: nil, taintsAnnotation: nil}
	if len(n.Labels) > 0 {
		annotations[labelsAnnotation] = strings.Join(n.labelNames(), ",")
	}
	if len(n.Taints) > 0 {
		annotations[taintsAnnotation] = strings.Join(n.taintNames(), ",")
	}
	spec := map[string]any{"taints": taints}
	if isLeaving(live) {
		annotations[LeavingAnnotation], spec["unschedulable"] = nil, nil
	}
	return map[string]any{
		"metadata": map[string]any{"resourceVersion": live.GetResourceVersion(), "labels": labels, "annotations": annotations},
		"spec":     spec,
	}
}

// Undo leaves it: it is the cluster's.
func (n Node) Undo(context.Context, *Env, Observed) error { return nil }

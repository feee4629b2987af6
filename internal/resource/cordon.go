package resource

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// LeavingAnnotation of a node says that its cordon was made for it to leave the cluster (Drain). If it stays after all, Node takes both away; cordons that people made it leaves.
const LeavingAnnotation = "kubewright.dev/leaving"

// Cordon has no Pods be put on a node, or has them be again, as kubectl cordon and uncordon do. It is what people want: a cordon that was made for the node to leave becomes theirs.
type Cordon struct {
	API      API    `json:"api"`
	Node     string `json:"node"`
	Cordoned bool   `json:"cordoned"`
}

// ID is the node's name.
func (o Cordon) ID() ID { return ID{"cordon", o.Node} }

// OfCluster says that it is the cluster's.
func (o Cordon) OfCluster() {}

// Observe finds whether the node is "cordoned", and whether it is "leaving" (yes or no). A node that is not there is Absent.
func (o Cordon) Observe(ctx context.Context, env *Env) (Observed, error) {
	c, err := o.API.open(ctx, env)
	if o.API.unmade(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	node, err := c.Get(ctx, nodeRef(o.Node))
	if kube.IsNotFound(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, passing(fmt.Errorf("reading the node %s: %w", o.Node, err))
	}
	return Observed{State: Present, Values: map[string]string{"cordoned": yesNo(isCordoned(node)), "leaving": yesNo(isLeaving(node))}}, nil
}

// Diff names what changes.
func (o Cordon) Diff(seen Observed) []Change {
	if seen.State == Absent {
		return nil
	}
	var changes []Change
	if is, want := seen.Value("cordoned"), yesNo(o.Cordoned); is != want {
		changes = append(changes, Change{What: "cordoned", Old: is, New: want})
	}
	if seen.Value("leaving") == "yes" {
		changes = append(changes, Change{What: "annotation " + LeavingAnnotation, Old: "present", New: "absent"})
	}
	return changes
}

// Apply does it. A node that is not there needs none.
func (o Cordon) Apply(ctx context.Context, env *Env) error {
	c, err := o.API.open(ctx, env)
	if err != nil {
		return err
	}
	node, err := c.Get(ctx, nodeRef(o.Node))
	if kube.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return passing(fmt.Errorf("reading the node %s: %w", o.Node, err))
	}
	return changeNode(ctx, c, node, func(live *unstructured.Unstructured) map[string]any { return cordonPatch(live, o.Cordoned, false) })
}

// Undo leaves it: it is the cluster's.
func (o Cordon) Undo(context.Context, *Env, Observed) error { return nil }

func isCordoned(node *unstructured.Unstructured) bool {
	cordoned, _, _ := unstructured.NestedBool(node.Object, "spec", "unschedulable")
	return cordoned
}

func isLeaving(node *unstructured.Unstructured) bool {
	_, leaving := node.GetAnnotations()[LeavingAnnotation]
	return leaving
}

// cordonToLeave cordons a node for it to leave. One that is cordoned stays as it is: somebody else may have meant it.
func cordonToLeave(live *unstructured.Unstructured) map[string]any {
	if isCordoned(live) {
		return nil
	}
	return cordonPatch(live, true, true)
}

// cordonPatch is what cordons a node or the opposite, and has it leave or not (JSON merge patch): what is null goes.
func cordonPatch(live *unstructured.Unstructured, cordoned, leaving bool) map[string]any {
	annotations, spec := map[string]any{LeavingAnnotation: nil}, map[string]any{"unschedulable": nil}
	if leaving {
		annotations[LeavingAnnotation] = "cordoned"
	}
	if cordoned {
		spec["unschedulable"] = true
	}
	return map[string]any{"metadata": map[string]any{"resourceVersion": live.GetResourceVersion(), "annotations": annotations}, "spec": spec}
}

package resource

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/internal/kube"
)

// ComponentLabel is the label of objects that says which part of the cluster they make up. ManagedByLabel says that Kubewright applied them.
const (
	ComponentLabel = "kubewright.dev/component"
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "kubewright"
)

// KubeObjects are all objects that some part of a cluster is made up of: what has its labels (ComponentLabel and ManagedByLabel) and is not listed goes.
type KubeObjects struct {
	API API `json:"api"`
	// Component is the value of ComponentLabel: "dns".
	Component string `json:"component"`
	// Keep are the objects that belong, as KubeObject.ID names them: "ConfigMap kube-system/coredns".
	Keep []string `json:"keep,omitempty"`
}

// listsAtOnce is how many kinds are listed at once. Each takes a millisecond or two, most of which is waiting.
const listsAtOnce = 4

// ID is the component.
func (k KubeObjects) ID() ID { return ID{"objects", k.Component} }

// OfCluster says that it is the cluster's.
func (k KubeObjects) OfCluster() {}

// Observe finds the objects that do not belong, by name.
func (k KubeObjects) Observe(ctx context.Context, env *Env) (Observed, error) {
	c, err := k.API.open(ctx, env)
	if k.API.unmade(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	needless, err := k.needless(ctx, c)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{}}
	for _, r := range needless {
		o.Values[r.String()] = "needless"
	}
	return o, nil
}

// needless are the objects that do not belong. What controllers made of the others has their labels, too, and goes with them.
func (k KubeObjects) needless(ctx context.Context, c *kube.Client) ([]kube.Ref, error) {
	kinds := slices.DeleteFunc(kube.Kinds(), func(kind kube.Kind) bool { return kind.Made })
	found := make([][]kube.Ref, len(kinds))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(listsAtOnce)
	for i, kind := range kinds {
		g.Go(func() error {
			objects, err := c.List(ctx, kube.Ref{APIVersion: kind.APIVersion, Kind: kind.Kind}, ComponentLabel+"="+k.Component+","+ManagedByLabel+"="+ManagedBy)
			if err != nil {
				return passing(fmt.Errorf("listing each %s of %s: %w", kind.Kind, k.Component, err))
			}
			for _, o := range objects {
				r := kube.Ref{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
				if metav1.GetControllerOfNoCopy(&o) == nil && o.GetDeletionTimestamp() == nil && !slices.Contains(k.Keep, r.String()) {
					found[i] = append(found[i], r)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// Diff names each that goes.
func (k KubeObjects) Diff(o Observed) []Change {
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		changes = append(changes, Change{What: name, Old: "present", New: "absent", Why: "nothing asks for it any more"})
	}
	return changes
}

// Apply deletes them. What they own goes afterwards.
func (k KubeObjects) Apply(ctx context.Context, env *Env) error {
	c, err := k.API.open(ctx, env)
	if err != nil {
		return err
	}
	needless, err := k.needless(ctx, c)
	if err != nil {
		return err
	}
	// Namespaces come last: their content would go with them, out of order.
	slices.Reverse(needless)
	for _, r := range needless {
		if err := c.Delete(ctx, r); err != nil {
			return passing(fmt.Errorf("deleting %s: %w", r, err))
		}
	}
	return nil
}

// Undo leaves them: they are the cluster's.
func (k KubeObjects) Undo(context.Context, *Env, Observed) error { return nil }

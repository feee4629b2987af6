package resource

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// KubeObject is an object of the Kubernetes API. It is applied by the server (server-side apply, by the field manager "kubewright", with force), and a trial of
// that (dry run) says how it differs, where what is there does not show that it cannot. What it does not say is others' business. It leaves with its KubeObjects,
// never because another machine applies it now.
type KubeObject struct {
	API API `json:"api"`
	// Object in JSON, with apiVersion, kind and metadata.
	Object json.RawMessage `json:"object"`
}

// kubeMeta is what names an object.
type kubeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// NewKubeObject makes one of a value of the API's types, or of a map.
func NewKubeObject(api API, object any) (KubeObject, error) {
	b, err := json.Marshal(object)
	if err != nil {
		return KubeObject{}, fmt.Errorf("an object of Kubernetes cannot be written as JSON: %w", err)
	}
	return KubeObject{api, b}, nil
}

func (k KubeObject) meta() kubeMeta {
	var m kubeMeta
	_ = json.Unmarshal(k.Object, &m) // an object without a name is refused by the API
	return m
}

// ID is kind, namespace and name: "ConfigMap kube-system/coredns".
func (k KubeObject) ID() ID {
	m := k.meta()
	return ID{"object", kube.Ref{Kind: m.Kind, Namespace: m.Metadata.Namespace, Name: m.Metadata.Name}.String()}
}

// OfCluster says that it is the cluster's.
func (k KubeObject) OfCluster() {}

// object is it as it is sent. The types of the API write an empty status and a creation time that is null; both are the server's to say.
func (k KubeObject) object() (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(k.Object); err != nil {
		return nil, fmt.Errorf("%s is no object of Kubernetes: %w", k.ID().Name, err)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "creationTimestamp")
	return u, nil
}

// Observe has the server try to apply it, unless that cannot change anything. What would change are "PATH is" and "PATH becomes". One that is being deleted is "deleted".
func (k KubeObject) Observe(ctx context.Context, env *Env) (Observed, error) {
	want, err := k.object()
	if err != nil {
		return Observed{}, err
	}
	c, err := k.API.open(ctx, env)
	if k.API.unmade(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	for range lookAgain {
		o, same, err := k.compare(ctx, c, want)
		if err != nil || same {
			return o, err
		}
	}
	return Observed{}, fmt.Errorf("%s changes all the time; something else writes it over and over", k.ID().Name)
}

// lookAgain is how often an object is compared that somebody changes meanwhile: controllers do, just after it was applied.
const lookAgain = 10

// compare compares the object with what comes of trying to apply it; not the same are those of which one was changed in between.
func (k KubeObject) compare(ctx context.Context, c *kube.Client, want *unstructured.Unstructured) (o Observed, same bool, err error) {
	live, err := c.Get(ctx, kube.RefOf(want))
	if kube.IsNotFound(err) {
		return Observed{State: Absent}, true, nil
	}
	if err != nil {
		return Observed{}, false, k.failed("reading", err)
	}
	if live.GetDeletionTimestamp() != nil {
		return Observed{State: Present, Values: map[string]string{"deleted": "soon"}}, true, nil
	}
	if holds(live, want) {
		return Observed{State: Present, Values: map[string]string{}}, true, nil
	}
	trial, err := c.Apply(ctx, want, true)
	if kube.IsInvalid(err) {
		return Observed{State: Present, Blocked: fmt.Sprintf("%v; what cannot be changed in place needs it to be deleted first, by kubectl", k.failed("trying to apply", err))}, true, nil
	}
	if err != nil {
		return Observed{}, false, k.failed("trying to apply", err)
	}
	// A trial answers with the version that it began with.
	return Observed{State: Present, Values: objectChanges(live, trial)}, live.GetResourceVersion() == trial.GetResourceVersion(), nil
}

// Diff names each field that changes.
func (k KubeObject) Diff(o Observed) []Change {
	if o.State == Absent {
		return []Change{{What: "present", Old: "absent", New: "present"}}
	}
	if o.Value("deleted") != "" {
		return []Change{{What: "present", Old: "being deleted", New: "present"}}
	}
	return fieldChanges(o.Values)
}

// Apply has the server apply it. One that is being deleted has to go first.
func (k KubeObject) Apply(ctx context.Context, env *Env) error {
	want, err := k.object()
	if err != nil {
		return err
	}
	c, err := k.API.open(ctx, env)
	if err != nil {
		return err
	}
	now, err := c.Apply(ctx, want, false)
	if err != nil {
		return k.failed("applying", err)
	}
	if now.GetDeletionTimestamp() != nil {
		return TransientError{fmt.Errorf("%s is being deleted; it is made anew when it has gone", k.ID().Name)}
	}
	return nil
}

// failed says what failed. What the API says of a secret that it does not take may quote it.
func (k KubeObject) failed(doing string, err error) error {
	if k.meta().Kind == secretKind && kube.QuotesObject(err) {
		return fmt.Errorf("%s %s: the API does not take it; what it says is not shown, because it is of a secret", doing, k.ID().Name)
	}
	return passing(fmt.Errorf("%s %s: %w", doing, k.ID().Name, err))
}

// Undo leaves it: it is the cluster's.
func (k KubeObject) Undo(context.Context, *Env, Observed) error { return nil }

package resource

import (
	"context"
	"encoding/json"
	"fmt"
)

// API is how resources on a control plane reach the Kubernetes API.
type API struct {
	// Kubeconfig on the machine; /etc/kubernetes/admin.conf if empty.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Servers are all API servers, the machine's own first: "10.0.0.11:6443". The first one that is ready is asked.
	Servers []string `json:"servers"`
	// New says that the cluster is to be made: while no API server answers, nothing is there.
	New bool `json:"new,omitempty"`
}

// KubeObject is an object of the Kubernetes API. It is applied by the server (server-side apply, by the field manager "kubewright", with force), and a trial of
// that (dry run) says how it differs. What it does not say is others' business. It leaves with its KubeObjects, never because another machine applies it now.
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
	name := m.Metadata.Name
	if m.Metadata.Namespace != "" {
		name = m.Metadata.Namespace + "/" + name
	}
	return ID{"object", m.Kind + " " + name}
}

// OfCluster says that it is the cluster's.
func (k KubeObject) OfCluster() {}

// Observe is not there yet.
func (r KubeObject) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errNotYet }

// Diff is not there yet.
func (r KubeObject) Diff(Observed) []Change { return nil }

// Apply is not there yet.
func (r KubeObject) Apply(context.Context, *Env) error { return errNotYet }

// Undo is not there yet.
func (r KubeObject) Undo(context.Context, *Env, Observed) error { return errNotYet }

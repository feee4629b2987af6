package resource

import (
	"context"
)

// StaticPodRuns asks whether the Pod of a manifest runs as the manifest says now: a ready sandbox bears the manifest's annotation (ManifestAnnotation), and all of its containers run.
// If they do not, it says why, with the last lines that the container wrote.
type StaticPodRuns struct {
	// Name of the Pod without the node's: "etcd".
	Name string `json:"name"`
	// Digest is the value of the annotation.
	Digest string `json:"digest"`
}

// ManifestAnnotation is the annotation of static Pods that says which manifest they come from.
const ManifestAnnotation = "kubewright.dev/manifest"

// ID names the Pod.
func (p StaticPodRuns) ID() ID { return ID{"static-pod", p.Name} }

// Check is not there yet.
func (p StaticPodRuns) Check(context.Context, *Env) (string, error) { return "", errNotYet }

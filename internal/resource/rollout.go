package resource

import (
	"context"
)

// Rollout asks whether a Deployment, DaemonSet or StatefulSet runs as it was applied last. At most so many Pods of a DaemonSet may be missing as there are nodes that are not ready.
type Rollout struct {
	API       API    `json:"api"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// ID names what is rolled out: "DaemonSet kube-system/kube-proxy".
func (p Rollout) ID() ID { return ID{"rollout", p.Kind + " " + p.Namespace + "/" + p.Name} }

// Check is not there yet.
func (p Rollout) Check(context.Context, *Env) (string, error) { return "", errNotYet }

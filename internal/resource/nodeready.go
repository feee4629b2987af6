package resource

import (
	"context"
)

// NodeReady asks whether a node is ready.
type NodeReady struct {
	API  API    `json:"api"`
	Name string `json:"name"`
}

// ID names the node.
func (p NodeReady) ID() ID { return ID{"node-ready", p.Name} }

// Check is not there yet.
func (p NodeReady) Check(context.Context, *Env) (string, error) { return "", errNotYet }

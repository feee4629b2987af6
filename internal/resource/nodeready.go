package resource

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// NodeReady asks whether a node is ready.
type NodeReady struct {
	API  API    `json:"api"`
	Name string `json:"name"`
}

// ID names the node.
func (p NodeReady) ID() ID { return ID{"node-ready", p.Name} }

// Check reads the node. What is not well is what its kubelet says, or that it says nothing.
func (p NodeReady) Check(ctx context.Context, env *Env) (string, error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := p.API.open(limited, env)
	if err != nil {
		return unanswered(ctx, err)
	}
	node, err := c.Get(limited, nodeRef(p.Name))
	if kube.IsNotFound(err) {
		return fmt.Sprintf("the kubelet of %s has not registered its node", p.Name), nil
	}
	if err != nil {
		return unanswered(ctx, err)
	}
	ready, why := nodeReady(node)
	if ready {
		return "", nil
	}
	return fmt.Sprintf("the node %s is not ready: %s", p.Name, why), nil
}

// unanswered is that a probe got no answer of the API, which may pass whatever the reason is: an API server may come, or credentials.
func unanswered(ctx context.Context, err error) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return err.Error(), nil
}

// nodeReady says whether a node is ready, and why not.
func nodeReady(node *unstructured.Unstructured) (ready bool, why string) {
	status, reason, message := condition(node, "Ready")
	switch {
	case status == "True":
		return true, ""
	case status == "":
		return false, "its kubelet has said nothing yet"
	case message == "":
		return false, reason
	}
	return false, reason + ": " + message
}

// silence is what is said of a node whose kubelet says nothing any more; empty of one that speaks, ready or not.
func silence(node *unstructured.Unstructured) string {
	if status, reason, message := condition(node, "Ready"); status == "Unknown" {
		return join(reason, message)
	}
	return ""
}

// condition is one of the conditions of an object; its status is empty if it has none of that type.
func condition(u *unstructured.Unstructured, kind string) (status, reason, message string) {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		c, _ := item.(map[string]any)
		if c["type"] == kind {
			status, _ = c["status"].(string)
			reason, _ = c["reason"].(string)
			message, _ = c["message"].(string)
			return status, reason, message
		}
	}
	return "", "", ""
}

package resource

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podTrouble is what keeps one of some Pods from being ready, the most telling one of them: "Pod coredns-7f9c-x2x on w1: coredns: ImagePullBackOff: …".
func podTrouble(pods []unstructured.Unstructured) string {
	var trouble string
	best := 0
	for _, p := range pods {
		if status, _, _ := condition(&p, "Ready"); status == "True" || p.GetDeletionTimestamp() != nil {
			continue
		}
		why, telling := troubleOf(&p)
		if telling <= best {
			continue
		}
		best = telling
		trouble = "Pod " + p.GetName()
		if node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName"); node != "" {
			trouble += " on " + node
		}
		trouble += ": " + why
	}
	return trouble
}

// How much is known of what keeps a Pod.
const (
	onItsWay = iota + 1
	unready
	stuck
)

// troubleOf is what keeps a Pod from being ready.
func troubleOf(p *unstructured.Unstructured) (why string, telling int) {
	if status, reason, message := condition(p, "PodScheduled"); status == "False" {
		return join(reason, message), stuck
	}
	var waiting string
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		list, _, _ := unstructured.NestedSlice(p.Object, "status", field)
		for _, item := range list {
			c, _ := item.(map[string]any)
			name, _ := c["name"].(string)
			why, telling := containerTrouble(c)
			if telling == stuck {
				return name + ": " + why, stuck
			}
			if waiting == "" && why != "" {
				waiting = name + ": " + why
			}
		}
	}
	if phase, _, _ := unstructured.NestedString(p.Object, "status", "phase"); phase == "Failed" {
		reason, _, _ := unstructured.NestedString(p.Object, "status", "reason")
		message, _, _ := unstructured.NestedString(p.Object, "status", "message")
		return join(reason, message), stuck
	}
	if waiting != "" {
		return waiting, onItsWay
	}
	if _, reason, message := condition(p, "Ready"); reason != "" {
		return join(reason, message), unready
	}
	return "its kubelet has said nothing yet", onItsWay
}

// containerTrouble is what keeps a container from running, from its status.
func containerTrouble(c map[string]any) (why string, telling int) {
	get := func(fields ...string) string {
		s, _, _ := unstructured.NestedString(c, fields...)
		return s
	}
	if reason := get("state", "waiting", "reason"); reason == "ContainerCreating" || reason == "PodInitializing" {
		return reason, onItsWay
	} else if reason != "" {
		why = join(reason, get("state", "waiting", "message"))
		if code, ok, _ := unstructured.NestedInt64(c, "lastState", "terminated", "exitCode"); ok {
			why += fmt.Sprintf("; it ended with code %d", code)
			if said := strings.TrimSpace(get("lastState", "terminated", "message")); said != "" {
				why += ": " + said[strings.LastIndex(said, "\n")+1:]
			}
		}
		return why, stuck
	}
	if code, ok, _ := unstructured.NestedInt64(c, "state", "terminated", "exitCode"); ok && code != 0 {
		return join(get("state", "terminated", "reason"), fmt.Sprintf("it ended with code %d", code)), stuck
	}
	return "", 0
}

// join is a reason and what is said about it, where there is both.
func join(reason, message string) string {
	switch {
	case message == "":
		return reason
	case reason == "":
		return message
	}
	return reason + ": " + message
}

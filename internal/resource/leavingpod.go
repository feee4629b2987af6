package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podID is namespace and name of a Pod: "default/web-1".
func podID(pod *unstructured.Unstructured) string { return pod.GetNamespace() + "/" + pod.GetName() }

func phaseOf(pod *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	return phase
}

// ended says that a Pod has done what it was for, or failed, and does not run again.
func ended(pod *unstructured.Unstructured) bool {
	phase := phaseOf(pod)
	return phase == "Succeeded" || phase == "Failed"
}

// staysOn says that a Pod is part of its node, or nothing any more: it is of a DaemonSet, which would make another one at once, or a static one, which the API only shows
// (MirrorPodAnnotationKey of k8s.io/api/core/v1), or it has ended. As in the filters of k8s.io/kubectl/pkg/drain, but that those take Pods away that have ended, and know no DaemonSets but Kubernetes' own.
func staysOn(pod *unstructured.Unstructured) bool {
	_, mirror := pod.GetAnnotations()["kubernetes.io/config.mirror"]
	owner := metav1.GetControllerOfNoCopy(pod)
	return mirror || ended(pod) || owner != nil && owner.Kind == "DaemonSet"
}

// leaving are those of some Pods that have to leave their node, in the order of their names.
func leaving(pods []unstructured.Unstructured) []*unstructured.Unstructured {
	var list []*unstructured.Unstructured
	for i := range pods {
		if !staysOn(&pods[i]) {
			list = append(list, &pods[i])
		}
	}
	slices.SortFunc(list, func(a, b *unstructured.Unstructured) int { return strings.Compare(podID(a), podID(b)) })
	return list
}

// hasEmptyDir says that a Pod keeps something on its node that is lost with it.
func hasEmptyDir(pod *unstructured.Unstructured) bool {
	volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	return slices.ContainsFunc(volumes, func(v any) bool {
		m, _ := v.(map[string]any)
		_, there := m["emptyDir"]
		return there
	})
}

// ignoresCordons says that a Pod is put on nodes that are cordoned, too (Filter of pkg/scheduler/framework/plugins/nodeunschedulable of Kubernetes v1.37).
func ignoresCordons(pod *unstructured.Unstructured) bool {
	tolerations, _, _ := unstructured.NestedSlice(pod.Object, "spec", "tolerations")
	return slices.ContainsFunc(tolerations, func(t any) bool {
		m, _ := t.(map[string]any)
		key, _ := m["key"].(string)
		effect, _ := m["effect"].(string)
		value, _ := m["value"].(string)
		return (effect == "" || effect == "NoSchedule") && (key == "" && m["operator"] == "Exists" || key == "node.kubernetes.io/unschedulable" && (m["operator"] == "Exists" || value == ""))
	})
}

// endingSlack is how long after the end of its time a Pod may be shown still: what stops its containers has to tell the API.
const endingSlack = 10 * time.Second

// ending says what keeps a Pod that is being deleted, and what to do; silent is why its kubelet cannot say that it has ended.
func ending(pod *unstructured.Unstructured, silent string, now time.Time) (why, remedy string) {
	grace := int64(0)
	if g := pod.GetDeletionGracePeriodSeconds(); g != nil {
		grace = *g
	}
	until := pod.GetDeletionTimestamp().Time
	switch {
	case silent != "":
		return "is deleted, but its kubelet does not say that it has ended: " + silent, "What is deleted on a machine that is silent goes when the machine speaks again, or when its node is taken out of the cluster"
	case len(pod.GetFinalizers()) > 0:
		return "is deleted, but kept by " + finalizersOf(pod),
			"Who set a finalizer has to do its work, or it is taken away by hand: kubectl --namespace NAMESPACE edit pod NAME"
	case now.After(until.Add(endingSlack)):
		return fmt.Sprintf("was to have ended by %s and has not", until.UTC().Format(time.TimeOnly)+" UTC"), "\"journalctl -u kubelet\" on the node says why a Pod does not end"
	}
	return fmt.Sprintf("may take %s to end (its terminationGracePeriodSeconds)", time.Duration(grace)*time.Second), "Wait longer for Pods that may take longer to end"
}

// finalizersOf are what keeps an object that is deleted.
func finalizersOf(u *unstructured.Unstructured) string {
	return plural(len(u.GetFinalizers()), "the finalizer ", "the finalizers ") + strings.Join(u.GetFinalizers(), ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// someOf are a few names, and how many more there are.
func someOf(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

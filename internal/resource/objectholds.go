package resource

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/kubewright/kubewright/internal/kube"
)

// holds says whether an object that is there shows by itself that to apply what is wanted would change nothing, so that the server need not be asked to try
// it, which costs it and etcd much more than to read. Where that cannot be told, it is false.
//
// Server-side apply does three things to an object (sigs.k8s.io/structured-merge-diff): it sets each value that is applied; it removes what its manager applied
// before and does not any more, as metadata.managedFields remembers; and it puts lists in the order in which they are applied. So nothing changes if
//   - each value that is wanted is there, and equal;
//   - the manager owns nothing that is not wanted;
//   - lists have as many items, in the same order.
//
// What others say and what the server gives by default may stand beside what is wanted where the manager is known to own only some of a map's fields or of a
// list's items. All else is compared as a whole: it may be a field that is replaced as a whole, as a nodeSelector is.
//
// Webhooks and policies that change what is written, or refuse it, make no difference to this. If one changed what is wanted, that is not equal. What else it
// would do to a write does not matter as long as nothing is to be written: it is not what is wanted here, though a trial would show it as if it were.
func holds(live, want *unstructured.Unstructured) bool {
	owned := appliedFields(live, want.GetAPIVersion())
	if owned == nil {
		return false
	}
	// These name the object, and have no owner.
	said := maps.Clone(want.Object)
	delete(said, "apiVersion")
	delete(said, "kind")
	if metadata, ok := said["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		delete(metadata, "name")
		delete(metadata, "namespace")
		said["metadata"] = metadata
		if len(metadata) == 0 {
			delete(said, "metadata")
		}
	}
	return holdsField(owned, live.Object, said)
}

// appliedFields are the fields of an object that Kubewright owns since it applied them (FieldsV1 of
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/), or nil if that is not known for this version of the API.
func appliedFields(live *unstructured.Unstructured, apiVersion string) map[string]any {
	entries, _, _ := unstructured.NestedFieldNoCopy(live.Object, "metadata", "managedFields")
	list, _ := entries.([]any)
	var fields map[string]any
	for _, item := range list {
		e, _ := item.(map[string]any)
		if e["manager"] != kube.FieldManager || e["operation"] != "Apply" || e["subresource"] != nil {
			continue
		}
		if fields != nil || e["apiVersion"] != apiVersion || e["fieldsType"] != "FieldsV1" {
			return nil
		}
		if fields, _ = e["fieldsV1"].(map[string]any); fields == nil {
			return nil
		}
	}
	return fields
}

// holdsField says it of a field. What is owned of it are "f:NAME" in a map, "k:KEYS" (the fields of an item by which it is told from others) or "v:VALUE" in a
// list; "." is the field itself. Of a field that is owned as a whole, or not at all, nothing is.
func holdsField(owned map[string]any, live, want any) bool {
	if _, itself := owned["."]; len(owned) == 0 || itself && len(owned) == 1 {
		return reflect.DeepEqual(live, want)
	}
	switch want := want.(type) {
	case map[string]any:
		live, ok := live.(map[string]any)
		return ok && holdsMap(owned, live, want)
	case []any:
		live, ok := live.([]any)
		return ok && holdsList(owned, live, want)
	}
	return false
}

func holdsMap(owned, live, want map[string]any) bool {
	for key := range owned {
		name, ok := strings.CutPrefix(key, "f:")
		if _, wanted := want[name]; key != "." && (!ok || !wanted) {
			return false
		}
	}
	for name, value := range want {
		is, there := live[name]
		field, known := owned["f:"+name]
		below, ok := field.(map[string]any)
		if !there || known && !ok || !holdsField(below, is, value) {
			return false
		}
	}
	return true
}

func holdsList(owned map[string]any, live, want []any) bool {
	if len(live) != len(want) {
		return false
	}
	below := make([]map[string]any, len(live))
	for key, v := range owned {
		if key == "." {
			continue
		}
		fields, ok := v.(map[string]any)
		at := itemAt(live, key)
		if !ok || at < 0 {
			return false
		}
		below[at] = fields
	}
	for i := range live {
		if !holdsField(below[i], live[i], want[i]) {
			return false
		}
	}
	return true
}

// itemAt is the place of the only item of a list that "k:KEYS" or "v:VALUE" means, or negative. Keys that nobody said are in the list, by default.
func itemAt(list []any, key string) int {
	kind, text, _ := strings.Cut(key, ":")
	var like any
	if err := json.Unmarshal([]byte(text), &like); err != nil {
		return -1
	}
	keys, _ := like.(map[string]any)
	is := func(item any) bool {
		switch kind {
		case "k":
			m, ok := item.(map[string]any)
			for name, value := range keys {
				ok = ok && reflect.DeepEqual(m[name], value)
			}
			return ok && len(keys) > 0
		case "v":
			return reflect.DeepEqual(item, like)
		}
		return false
	}
	at := slices.IndexFunc(list, is)
	if at >= 0 && slices.ContainsFunc(list[at+1:], is) {
		return -1
	}
	return at
}

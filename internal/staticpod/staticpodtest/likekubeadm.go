// Package staticpodtest compares manifests with those that kubeadm writes, so that tests of components can say what differs and why.
package staticpodtest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// LikeKubeadm fails for each difference between a manifest of kubeadm's and one of Kubewright's that has no reason, and for each reason without a difference. Differences are
// named "--flag", "annotation NAME", "volume NAME", and by their JSON path otherwise.
func LikeKubeadm(t *testing.T, kubeadm, ours []byte, reasons map[string]string) {
	t.Helper()
	Differences(t, flat(t, kubeadm), flat(t, ours), reasons)
}

// Differences fails for each difference between two sets of values that has no reason, and for each reason without a difference.
func Differences(t *testing.T, kubeadm, ours map[string]string, reasons map[string]string) {
	t.Helper()
	all := maps.Clone(kubeadm)
	maps.Copy(all, ours)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		k, o := kubeadm[name], ours[name]
		if reason := reasons[name]; k != o && reason == "" {
			t.Errorf("%s is %q; kubeadm has %q", name, o, k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		if kubeadm[name] == ours[name] {
			t.Errorf("%s shall differ from what kubeadm has (%s), and both are %q", name, reasons[name], ours[name])
		}
	}
}

// flat are the values of a manifest by their names.
func flat(t *testing.T, manifest []byte) map[string]string {
	t.Helper()
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(manifest, &pod); err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("the manifest has %d containers", len(pod.Spec.Containers))
	}
	values := map[string]string{}
	c := &pod.Spec.Containers[0]
	for _, arg := range c.Command {
		name, value, _ := strings.Cut(arg, "=")
		values[name] = value
	}
	for name, value := range pod.Annotations {
		values["annotation "+name] = value
	}
	for _, v := range pod.Spec.Volumes {
		values["volume "+v.Name] += encoded(t, v)
	}
	for _, m := range c.VolumeMounts {
		values["volume "+m.Name] += encoded(t, m)
	}
	c.Command, pod.Annotations, pod.Spec.Volumes, c.VolumeMounts = nil, nil, nil, nil
	var rest map[string]any
	if err := json.Unmarshal([]byte(encoded(t, pod)), &rest); err != nil {
		t.Fatal(err)
	}
	Flatten(values, "", rest)
	return values
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Flatten puts the values below a map into another map, by their paths: "spec.hostNetwork".
func Flatten(into map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			Flatten(into, strings.TrimPrefix(path+"."+name, "."), inner)
		}
	default:
		b, _ := json.Marshal(v) // it was JSON before
		into[path] = string(b)
	}
}

package staticpod

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Mount is a file or directory of the host that a container sees at the same place.
type Mount struct {
	// Name of the volume.
	Name string
	// Path on the host and in the container.
	Path string
	// Type is what has to be there: corev1.HostPathDirectoryOrCreate.
	Type corev1.HostPathType
	// Writable says that the container may write to it.
	Writable bool
}

// split makes volumes and their mounts, in the order of their names.
func split(mounts []Mount) ([]corev1.VolumeMount, []corev1.Volume) {
	var inside []corev1.VolumeMount
	var outside []corev1.Volume
	for _, m := range slices.SortedFunc(slices.Values(mounts), func(a, b Mount) int { return cmp.Compare(a.Name, b.Name) }) {
		inside = append(inside, corev1.VolumeMount{Name: m.Name, MountPath: m.Path, ReadOnly: !m.Writable})
		outside = append(outside, corev1.Volume{Name: m.Name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: m.Path, Type: &m.Type}}})
	}
	return inside, outside
}

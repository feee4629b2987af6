package plan

import (
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
)

// TestFollower has a Pod run by an older manifest: while the manifest is to be changed that says nothing of whether it is well, and afterwards it does. With what would be said before, all members of a
// group would be worked on at once.
func TestFollower(t *testing.T) {
	manifest := resource.NewFile("/etc/kubernetes/manifests/etcd.yaml", "new")
	runs := resource.StaticPodRuns{Name: "etcd", Manifest: manifest.Path}
	serves := resource.HTTPAnswers{Name: "etcd"}
	s := Step{StepID: StepID{Host: "m1", Name: "etcd"}, Resources: []resource.Resource{manifest}, Ensures: []resource.Probe{runs, serves}}
	is := func(content string) resource.Observed {
		return resource.Observed{State: resource.Present, Values: map[string]string{"type": "file", "mode": "0644", "owner": "root:root", "digest": resource.DigestOf([]byte(content))}}
	}
	for _, c := range []struct {
		name, content string
		unwell        map[string]string
		want          []resource.ID
	}{
		{"another manifest", "old", map[string]string{runs.ID().String(): "etcd still runs by an older manifest"}, nil},
		{"another manifest, and it does not serve", "old", map[string]string{runs.ID().String(): "etcd still runs by an older manifest", serves.ID().String(): "refused"}, []resource.ID{serves.ID()}},
		{"the manifest", "new", map[string]string{runs.ID().String(): "etcd still runs by an older manifest"}, []resource.ID{runs.ID()}},
	} {
		got := compare(s, Observation{Resources: map[string]resource.Observed{manifest.ID().String(): is(c.content)}, Unwell: c.unwell})
		if changes := len(got.Changes) > 0; changes != (c.content == "old") {
			t.Errorf("%s: changes are %v", c.name, got.Changes)
		}
		var ids []resource.ID
		for _, u := range got.Unwell {
			ids = append(ids, u.Resource)
		}
		if len(ids) != len(c.want) || len(ids) > 0 && ids[0] != c.want[0] {
			t.Errorf("%s: not well are %v; want %v", c.name, ids, c.want)
		}
	}
}

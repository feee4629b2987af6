package runtime

import (
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

// node stands for all hosts that become nodes, whatever their roles.
const node v1alpha1.Role = "node"

// images says which roles need an image, by the last part of its name. Pods that may run anywhere are on all nodes, or they would wait for a registry when a
// host fails. etcd's hosts are those that carry members of it, whatever their roles.
var images = map[string][]v1alpha1.Role{
	"pause":                   {v1alpha1.ControlPlane, v1alpha1.Etcd, node},
	"etcd":                    {v1alpha1.Etcd},
	"kube-apiserver":          {v1alpha1.ControlPlane},
	"kube-controller-manager": {v1alpha1.ControlPlane},
	"kube-scheduler":          {v1alpha1.ControlPlane},
	"kube-proxy":              {node},
	"flannel":                 {node},
	"coredns":                 {node},
	"kubewright-approver":     {node},
	"metrics-server":          {v1alpha1.Worker},
}

// imagesOf are the images of a bundle that a host needs. Those for tests never are.
func imagesOf(b *bundle.Bundle, c *cluster.Cluster, h v1alpha1.Host) []resource.Image {
	roles := slices.Clone(h.Roles)
	if c.HasAnyMember(h) {
		roles = append(roles, v1alpha1.Etcd)
	}
	if c.IsNode(h) {
		roles = append(roles, node)
	}
	var list []resource.Image
	for _, p := range b.Parts {
		if p.Kind != bundle.Image || p.Test {
			continue
		}
		if slices.ContainsFunc(images[p.ShortName()], func(r v1alpha1.Role) bool { return slices.Contains(roles, r) }) {
			list = append(list, resource.Image{Name: p.Name, Manifest: p.Digest})
		}
	}
	return list
}

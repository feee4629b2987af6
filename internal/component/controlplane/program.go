package controlplane

import (
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// Program is what a program has besides what kubeadm gives it and the cluster file's flags: what it would lose if kubeadm, which does not know of it, wrote its manifest anew.
type Program struct {
	// Flags without dashes.
	Flags map[string]string
	// Mounts are files and directories of the host.
	Mounts []staticpod.Mount
}

// Programs are those that have something, by name. It is the same on all hosts.
func Programs(c *cluster.Cluster) map[string]Program {
	return map[string]Program{
		apiServer:         {Flags: ownAPIServerFlags(c), Mounts: ownAPIServerMounts(c)},
		controllerManager: {Flags: ownControllerManagerFlags(c)},
	}
}

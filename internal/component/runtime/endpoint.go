package runtime

import "github.com/kubewright/kubewright/internal/cluster"

// Endpoint is where the runtime that the cluster file names listens to kubelets.
func Endpoint(c *cluster.Cluster) string { return "unix://" + engineOf(c).socket }

// Unit is its unit of systemd.
func Unit(c *cluster.Cluster) string { return engineOf(c).unit }

package runtime

import "github.com/kubewright/kubewright/internal/cluster"

// Endpoint is where the runtime that the cluster file names listens to kubelets.
func Endpoint(c *cluster.Cluster) string { return "unix://" + engineOf(c).socket }

// Content is where the runtime keeps what images consist of, as it travelled: files named ALGORITHM/DIGITS after their digests.
func Content(c *cluster.Cluster) string { return engineOf(c).content(c.Runtime.Root) }

// Unit is its unit of systemd.
func Unit(c *cluster.Cluster) string { return engineOf(c).unit }

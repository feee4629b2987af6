// Etcd is upstream's, with the first say at the disk: a member that waits long for its log to reach the disk loses its leader, and the cluster its API.
// A static Pod has no other means of asking for that, and what is set from outside is gone when the container restarts.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"kubewright.dev/distro/etcd/diskpriority"
)

func main() {
	if err := diskpriority.Raise(); err != nil {
		fmt.Fprintf(os.Stderr, "etcd goes on with the disk priority that it was given: %v\n", err)
	}
	etcdmain.Main(os.Args)
}

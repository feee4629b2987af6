// Command hosts is kubewright without Kubernetes: it makes hosts fit to carry a cluster, and stops there. Tests use it where each instruction is emulated and a
// cluster would take too long.
package main

import (
	"os"

	"github.com/kubewright/kubewright/internal/cli"
	"github.com/kubewright/kubewright/internal/converge"
)

func main() { os.Exit(cli.Main(os.Args[1:], converge.Hosts)) }

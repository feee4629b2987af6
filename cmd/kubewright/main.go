// Command kubewright turns one declared file and a set of Linux machines into a production Kubernetes cluster.
package main

import (
	"os"

	"github.com/kubewright/kubewright/internal/cli"
	"github.com/kubewright/kubewright/internal/converge"
)

func main() { os.Exit(cli.Main(os.Args[1:], converge.Standard)) }

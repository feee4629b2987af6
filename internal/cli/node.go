package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
)

func newNode(components Components) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "node",
		Short: "Add, remove and replace nodes, list them, and have Pods leave one",
		Long: `"add", "remove" and "replace" change the cluster file, cluster.yaml by default, and say what is to be applied; with --apply they go on with it.

The others work on nodes by way of a control plane of the cluster file whose API server answers: neither kubectl nor a kubeconfig is needed here.
What a person cordons stays cordoned: apply changes nothing about it.`,
		Example: "  kubewright node add worker21 10.0.1.21\n  kubewright node remove worker7 --apply\n  kubewright node list\n  kubewright node drain worker7\n  kubewright node uncordon worker7",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVarP(&file, "file", "f", clusterFile, "cluster file")
	c.AddCommand(newNodeAdd(components, &file), newNodeRemove(components, &file), newNodeReplace(components, &file), newNodeCordon(components, &file, true), newNodeCordon(components, &file, false), newNodeDrain(components, &file), newNodeList(components, &file))
	return c
}

// unknownNode says which nodes there are to who names one that there is not.
func unknownNode(err error) error {
	unknown, ok := errors.AsType[*converge.UnknownNodeError](err)
	switch {
	case !ok:
		return err
	case len(unknown.Known) == 0:
		return usageError{fmt.Errorf("%w; it has none yet", err)}
	}
	return usageError{fmt.Errorf("%w; it has %s", err, fewNames(unknown.Known))}
}

// fewNames are some names, and how many more there are.
func fewNames(names []string) string {
	const most = 20
	if more := len(names) - most; more > 1 {
		names = append(names[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

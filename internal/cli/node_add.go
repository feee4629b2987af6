package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/clusterfile"
)

func newNodeAdd(components Components, file *string) *cobra.Command {
	e := newNodeEdit(components, file)
	var roles []string
	c := &cobra.Command{
		Use:   "add NAME ADDRESS [NAME ADDRESS]...",
		Short: "Add hosts to the cluster file",
		Long: `Writes hosts into the cluster file, behind the last one of their role, and leaves the rest of it as it is, comments included. The file is replaced at once, and only if it is valid then.
"kubewright apply" has the hosts join, or --apply right away.

Names and addresses may be ranges of as many: "worker[21-24]" "10.0.1.[21-24]".

The number of control planes is odd, so they come in pairs: name two at once. Each comes as a learner of etcd, and votes when it has caught up.`,
		Example: "  kubewright node add worker21 10.0.1.21\n  kubewright node add cp4 10.0.0.14 cp5 10.0.0.15 --role control-plane\n  kubewright node add worker21 10.0.1.21 --apply --yes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args)%2 != 0 {
				return errors.New("want a name and an address for each host")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var hosts []v1alpha1.Host
			for i := 0; i < len(args); i += 2 {
				hosts = append(hosts, v1alpha1.Host{Name: args[i], Address: args[i+1]})
			}
			var of []v1alpha1.Role
			for _, r := range roles {
				of = append(of, v1alpha1.Role(r))
			}
			if len(of) == 0 {
				return usageError{fmt.Errorf("--role: want at least one of %v", v1alpha1.Roles)}
			}
			return e.run(c, func(file string, content []byte) ([]byte, error) { return clusterfile.Add(file, content, of, hosts...) })
		},
	}
	e.add(c)
	c.Flags().StringSliceVar(&roles, "role", []string{string(v1alpha1.Worker)}, "roles of the hosts: worker, control-plane; several with commas between")
	return c
}

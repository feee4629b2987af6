package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
)

// typedName is consent to a loss: the name of the cluster, typed by a person, or said by scripts, with --yes and --cluster.
type typedName struct {
	yes  bool
	name string
}

// check refuses half of what scripts have to say, and to ask where nobody can be asked, before anything is done.
func (n typedName) check(c *cobra.Command, output string) error {
	if n.yes != (n.name != "") {
		return usageError{errors.New("without being asked, it wants both --yes and --cluster NAME")}
	}
	if n.yes {
		return nil
	}
	if _, ok := person(c); !ok || output == "json" {
		return usageError{fmt.Errorf("%w: say --yes and --cluster NAME", errNobody)}
	}
	return nil
}

// fits refuses the name of another cluster than that of a file.
func (n typedName) fits(file, cluster string) error {
	if n.yes && n.name != cluster {
		return usageError{fmt.Errorf("the cluster of %s is %s, and --cluster says %s", file, cluster, n.name)}
	}
	return nil
}

// ask has a person type the name, unless it was said.
func (n typedName) ask(c *cobra.Command, cluster string) error {
	if n.yes {
		return nil
	}
	return askFor(c, fmt.Sprintf("If that is what you want, type the name of the cluster (%s): ", cluster), converge.ErrDeclined, func(a string) bool { return a == cluster })
}

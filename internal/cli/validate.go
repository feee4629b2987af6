package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func newValidate() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Say what is wrong with a cluster file",
		Long: `Reads a cluster file, cluster.yaml by default, and says all that is wrong with it at once, each with line and column, the reason and the
expected form. It looks at the file alone and touches nothing. Exits with 2 if anything is wrong.`,
		Example: "  kubewright validate\n  kubewright validate prod.yaml --output json\n  generate | kubewright validate -",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", output)}
			}
			name := "cluster.yaml"
			if len(args) > 0 {
				name = args[0]
			}
			content, err := readFile(c, name)
			if err != nil {
				return err
			}
			cluster, err := v1alpha1.Parse(name, content)
			var invalid v1alpha1.InvalidError
			if err != nil && !errors.As(err, &invalid) {
				return err
			}
			if output == "json" {
				problems := invalid.Problems
				if problems == nil {
					problems = []v1alpha1.Problem{}
				}
				if err := writeJSON(c.OutOrStdout(), map[string]any{"file": name, "problems": problems}); err != nil {
					return err
				}
				if len(problems) > 0 {
					return exitError{exitUsage}
				}
				return nil
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: cluster %s, %s\n", name, cluster.Name, count(len(cluster.Hosts), "host"))
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text, or json on standard output")
	return c
}

// readFile reads a file, or standard input for -.
func readFile(c *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(c.InOrStdin())
	}
	return os.ReadFile(name)
}

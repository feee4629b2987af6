package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesList(f *machinesFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show the machines of the set",
		Example: "  kubewright machines list\n  kubewright machines list --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := f.open(c)
			if err != nil {
				return err
			}
			defer set.Close()
			return f.show(c, set)
		},
	}
}

func machinesTable(w io.Writer, list []machines.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tADDRESS\tCPUS\tMEMORY\tDISK\tLINK")
	for _, m := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s of %s\t%s\n", m.Name, m.State, m.Address, orAll(strconv.FormatFloat(m.CPUs, 'g', -1, 64)), orAll(size(m.Memory)),
			size(m.DiskUsed), size(m.Disk), link(m))
	}
	return t.Flush()
}

func size(bytes int64) string { v := bytesValue(bytes); return v.String() }

func orAll(limit string) string {
	if limit == "0" {
		return "all"
	}
	return limit
}

func link(m machines.Status) string {
	var words []string
	if m.LinkRate > 0 {
		words = append(words, rateValue(m.LinkRate).text())
	}
	for _, other := range m.CutFrom {
		if other == "*" {
			other = "everybody"
		}
		words = append(words, "cut from "+other)
	}
	return strings.Join(words, ", ")
}

package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/machines"
)

func newMachinesLimit(f *machinesFlags) *cobra.Command {
	var rate rateValue
	return &cobra.Command{
		Use:     "limit NAME… RATE",
		Short:   "Set the rate of machines' links",
		Long:    `Sets how fast a machine sends and receives, in each direction. RATE is such as 10mbit, 500kbit, 1gbit, or none.`,
		Example: "  kubewright machines limit m1 10mbit\n  kubewright machines limit m1 m2 none",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("want names of machines and a rate")
			}
			return rate.Set(args[len(args)-1])
		},
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c, func(set *machines.Set) error { return set.Limit(c.Context(), int64(rate), args[:len(args)-1]...) })
		},
	}
}

// rateValue is a number of bits a second, written as tc(8) does: 10mbit.
type rateValue int64

var rateUnits = []struct {
	name string
	bits int64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}}

func (v *rateValue) Set(s string) error {
	if s == "none" {
		*v = 0
		return nil
	}
	for _, u := range rateUnits {
		digits, ok := strings.CutSuffix(strings.ToLower(s), u.name)
		if n, err := strconv.ParseFloat(digits, 64); ok && err == nil && n > 0 && n*float64(u.bits) <= 100e9 {
			*v = rateValue(n * float64(u.bits))
			return nil
		}
	}
	return fmt.Errorf("rate %q: want a number and kbit, mbit or gbit, at most 100gbit, or none", s)
}

func (v rateValue) text() string {
	for _, u := range rateUnits {
		if int64(v) >= u.bits {
			return strconv.FormatFloat(float64(v)/float64(u.bits), 'g', 4, 64) + u.name
		}
	}
	return strconv.FormatInt(int64(v), 10) + "bit"
}

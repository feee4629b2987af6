package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/machines"
)

func TestRates(t *testing.T) {
	for in, want := range map[string]int64{"10mbit": 10e6, "500kbit": 500e3, "1gbit": 1e9, "1.5Mbit": 1.5e6, "none": 0} {
		var v rateValue
		if err := v.Set(in); err != nil || int64(v) != want {
			t.Errorf("%s: %d, %v, want %d", in, v, err, want)
		}
	}
	for _, in := range []string{"", "10", "mbit", "-1mbit", "0mbit", "10mb", "NaNmbit", "infgbit", "101gbit"} {
		var v rateValue
		if err := v.Set(in); err == nil {
			t.Errorf("%q is taken for %d", in, v)
		}
	}
}

func FuzzRates(f *testing.F) {
	for _, s := range []string{"10mbit", "none", "1e3kbit", "0x1p4mbit"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var v rateValue
		if err := v.Set(s); err != nil {
			return
		}
		if v < 0 || v > 100e9 {
			t.Errorf("%q is taken for %d", s, v)
		}
		var again rateValue
		if v >= 1e3 {
			if err := again.Set(v.text()); err != nil {
				t.Errorf("%q reads %q, which is not understood: %v", s, v.text(), err)
			}
		}
	})
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"4G": 4 << 30, "512MiB": 512 << 20, "1.5g": 3 << 29, "0": 0} {
		var v bytesValue
		if err := v.Set(in); err != nil || int64(v) != want {
			t.Errorf("%s: %d, %v, want %d", in, v, err, want)
		}
	}
	for _, in := range []string{"", "-1", "4X", "G"} {
		var v bytesValue
		if err := v.Set(in); err == nil {
			t.Errorf("%q is taken for %d", in, v)
		}
	}
}

func TestMachinesTable(t *testing.T) {
	var b bytes.Buffer
	err := machinesTable(&b, []machines.Status{
		{Name: "m1", State: machines.Running, Hardware: machines.DefaultHardware(), DiskUsed: 12 << 20, LinkRate: 10e6, CutFrom: []string{"m2", "*"}},
		{Name: "m2", State: machines.Stopped, Hardware: machines.Hardware{Disk: 1 << 30}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `NAME   STATE     ADDRESS      CPUS   MEMORY   DISK         LINK
m1     running   invalid IP   2      4G       12M of 20G   10mbit, cut from m2, cut from everybody
m2     stopped   invalid IP   all    all      0 of 1G      
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{
		"machines --help":             0,
		"bogus":                       exitUsage,
		"machines up --bogus":         exitUsage,
		"machines list --output yaml": exitUsage,
		"machines list --set Alice":   exitUsage,
		"machines kill":               exitUsage,
		"machines kill m1 --all":      exitUsage,
		"machines cut":                exitUsage,
		"machines limit m1 fast":      exitUsage,
		"machines list --output":      exitUsage,
	} {
		if got := Main(strings.Fields(args), nil); got != want {
			t.Errorf("kubewright %s exits with %d, want %d", args, got, want)
		}
	}
}

// Everybody who is shown a command is shown how to use it.
func TestHelpIsComplete(t *testing.T) {
	root := newRoot(nil)
	for _, parent := range root.Commands() {
		for _, c := range parent.Commands() {
			if c.Hidden {
				continue
			}
			if c.Short == "" || c.Example == "" {
				t.Errorf("%s has no short help or no example", c.CommandPath())
			}
		}
	}
}

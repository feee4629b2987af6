package machines

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// everybody stands for all other machines and the computer outside, in a pair of machines that are cut off.
const everybody = "*"

// pair brings two machines into the order in which cuts are kept.
func pair(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

// cutFrom lists whom a machine cannot reach.
func cutFrom(cuts [][2]string, name string) []string {
	var from []string
	for _, c := range cuts {
		switch name {
		case c[0]:
			from = append(from, c[1])
		case c[1]:
			from = append(from, c[0])
		}
	}
	return from
}

// trafficRules is the nftables ruleset of the set's switch: what the given cuts drop. ports gives each machine's.
func trafficRules(cuts [][2]string, ports map[string]string) string {
	var forward, input, output strings.Builder
	drop := func(b *strings.Builder, match string) { fmt.Fprintf(b, "\t\t%s drop\n", match) }
	for _, c := range cuts {
		a, b := ports[c[0]], ports[c[1]]
		switch {
		case b == "" || a == "" && c[0] != everybody:
			continue // a machine that is no more
		case c[0] == everybody:
			drop(&forward, fmt.Sprintf("iifname %q", b))
			drop(&forward, fmt.Sprintf("oifname %q", b))
			drop(&input, fmt.Sprintf("iifname %q", b))
			drop(&output, fmt.Sprintf("oifname %q", b))
		default:
			drop(&forward, fmt.Sprintf("iifname %q oifname %q", a, b))
			drop(&forward, fmt.Sprintf("iifname %q oifname %q", b, a))
		}
	}
	// Priority filter (-200) comes before br_netfilter, behind which hooks of priority 0 are passed over (br_nf_hook_thresh
	// in net/bridge/br_netfilter_hooks.c). Declaring the table before deleting it makes the deletion valid the first time, too; the whole file is one transaction.
	return fmt.Sprintf(`table bridge cuts
delete table bridge cuts
table bridge cuts {
	chain forward {
		type filter hook forward priority filter;
%s	}
	chain input {
		type filter hook input priority filter;
%s	}
	chain output {
		type filter hook output priority filter;
%s	}
}
`, &forward, &input, &output)
}

// applyTraffic makes the set's switch drop what the cuts say, and nothing else, from one moment to the next.
func (s *Set) applyTraffic(cuts [][2]string) error {
	all, err := s.machines()
	if err != nil {
		return err
	}
	ports := map[string]string{}
	for _, m := range all {
		ports[m.Name] = m.port()
	}
	nft := exec.Command("nsenter", "--net="+s.netnsPath(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader(trafficRules(cuts, ports))
	var said bytes.Buffer
	nft.Stderr = &said
	if err := nft.Run(); err != nil {
		return fmt.Errorf("setting the rules of the set's switch: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// reapplyTraffic is applyTraffic where the set runs; otherwise the cuts hold from its next start.
func (s *Set) reapplyTraffic(st state) error {
	if _, err := os.Stat(s.netnsPath()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.applyTraffic(st.Cuts)
}

// withoutMachine returns the cuts that do not concern a machine.
func withoutMachine(cuts [][2]string, name string) [][2]string {
	return slices.DeleteFunc(slices.Clone(cuts), func(c [2]string) bool { return c[0] == name || c[1] == name })
}

package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
)

// PodNetwork is what the kubelet, kube-proxy and network plugins make of a machine's network while they run, and leave when they are stopped. There is nothing to apply.
// A machine has one such resource.
type PodNetwork struct {
	// Links are network interfaces.
	Links []string `json:"links,omitempty"`
	// Ranges are those of Pods, to which there are routes.
	Ranges []string `json:"ranges,omitempty"`
	// Tables of nftables, with their family: "ip kube-proxy".
	Tables []string `json:"tables,omitempty"`
	// Chains of iptables, by what their names begin with: "KUBE-".
	Chains []string `json:"chains,omitempty"`
	// Cleanup is a command that takes away what else there is; may be empty.
	Cleanup []string `json:"cleanup,omitempty"`
}

// ID is the same everywhere.
func (PodNetwork) ID() ID { return ID{"pod-network", "kubelet"} }

// Runs says that it goes first, with Pods, while the programs of Cleanup are still there.
func (PodNetwork) Runs() {}

// Observe looks which interfaces are there already. Those that were before Kubewright came are somebody else's.
func (n PodNetwork) Observe(_ context.Context, env *Env) (Observed, error) {
	links, err := env.Kernel.Links()
	if err != nil {
		return Observed{}, fmt.Errorf("listing network interfaces: %w", err)
	}
	o := Observed{State: Absent, Values: map[string]string{}}
	for _, l := range n.Links {
		if slices.Contains(links, l) {
			o.State, o.Values[l] = Present, "yes"
		}
	}
	return o, nil
}

// Diff has nothing to say.
func (PodNetwork) Diff(Observed) []Change { return nil }

// Apply has nothing to do.
func (PodNetwork) Apply(context.Context, *Env) error { return nil }

// Undo does what Empty does.
func (n PodNetwork) Undo(ctx context.Context, env *Env, previous Observed) error {
	return n.Empty(ctx, env, previous)
}

// Empty takes it all away. It leaves everything if interfaces of those names were there before: so are rules, then.
func (n PodNetwork) Empty(ctx context.Context, env *Env, previous Observed) error {
	if previous.State == Present {
		return nil
	}
	if len(n.Cleanup) > 0 {
		// It also fails on machines where there is nothing that it could take away.
		if _, err := env.output(ctx, n.Cleanup[0], n.Cleanup[1:]...); err != nil {
			env.progress(err.Error())
		}
	}
	for _, l := range n.Links {
		if err := env.Kernel.RemoveLink(l); err != nil {
			return fmt.Errorf("removing the network interface %s: %w", l, err)
		}
	}
	for _, r := range n.Ranges {
		to, err := netip.ParsePrefix(r)
		if err != nil {
			return err
		}
		if err := env.Kernel.RemoveRoutes(to); err != nil {
			return fmt.Errorf("removing routes to %s: %w", to, err)
		}
	}
	if err := n.removeChains(ctx, env); err != nil {
		return err
	}
	return n.removeTables(ctx, env)
}

// iptablesPrograms are all that there may be: rules of one kind are not seen by programs of the other, and what has no kind in its name is of one of them.
var iptablesPrograms = []string{"iptables-nft", "iptables-legacy", "iptables", "ip6tables-nft", "ip6tables-legacy", "ip6tables"}

// removeChains removes chains of iptables with their rules, and those of others that lead to them.
func (n PodNetwork) removeChains(ctx context.Context, env *Env) error {
	for _, program := range iptablesPrograms {
		saved, err := env.output(ctx, program+"-save")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		removal := chainsRemoval(saved, n.Chains)
		if removal == "" {
			continue
		}
		o, err := env.Exec.Run(ctx, Command{Name: program + "-restore", Args: []string{"--noflush", "--wait=5"}, Stdin: strings.NewReader(removal)})
		if err != nil {
			return fmt.Errorf("running %s-restore: %w", program, err)
		}
		if o.Code != 0 {
			return fmt.Errorf("%s-restore could not remove rules: %s", program, o.last())
		}
	}
	return nil
}

// chainsRemoval is what has iptables-restore(8) remove chains, made of what iptables-save(8) says; empty if there are none. A chain is emptied, left by all, and
// removed, in this order.
func chainsRemoval(saved string, prefixes []string) string {
	ours := func(chain string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(chain, p) })
	}
	var all, flush, leave, remove strings.Builder
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "*"):
			all.WriteString(line + "\n")
		case strings.HasPrefix(line, ":") && ours(fields[0][1:]):
			flush.WriteString(fields[0] + " - [0:0]\n")
			remove.WriteString("-X " + fields[0][1:] + "\n")
		case strings.HasPrefix(line, "-A ") && !ours(fields[1]) && ours(target(fields)):
			leave.WriteString("-D " + strings.TrimPrefix(line, "-A ") + "\n")
		case line == "COMMIT":
			all.WriteString(flush.String() + leave.String() + remove.String() + "COMMIT\n")
			flush.Reset()
			leave.Reset()
			remove.Reset()
		}
	}
	if !strings.Contains(all.String(), "\n-X ") {
		return ""
	}
	return all.String()
}

// target is the chain that a rule leads to.
func target(rule []string) string {
	for i, f := range slices.Backward(rule) {
		if (f == "-j" || f == "-g") && i+1 < len(rule) {
			return rule[i+1]
		}
	}
	return ""
}

// removeTables removes tables of nftables, and those of iptables that nothing is in any more: they came with the first rule.
func (n PodNetwork) removeTables(ctx context.Context, env *Env) error {
	listed, err := env.output(ctx, "nft", "list", "tables")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(listed) {
		table, ok := strings.CutPrefix(strings.TrimSpace(line), "table ")
		if !ok {
			continue
		}
		family, name, _ := strings.Cut(table, " ")
		remove := slices.Contains(n.Tables, table)
		if (family == "ip" || family == "ip6") && slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, name) {
			holds, err := env.output(ctx, "nft", "list", "table", family, name)
			if err != nil {
				return err
			}
			remove = remove || doesNothing(holds)
		}
		if remove {
			if _, err := env.output(ctx, "nft", "delete", "table", family, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// doesNothing says whether a table, as nft(8) lists it, has nothing but chains without rules that let everything through.
func doesNothing(table string) bool {
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "}" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "table ") || strings.HasPrefix(line, "chain "):
		case strings.HasPrefix(line, "type ") && strings.HasSuffix(line, "policy accept;"):
		default:
			return false
		}
	}
	return true
}

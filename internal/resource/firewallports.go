package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// FirewallPorts is what a firewall of the machine lets in. Where the firewall is not there, everything is let in.
type FirewallPorts struct {
	Tool string `json:"tool"` // "firewalld" or "ufw"
	// Ports that all may reach: "6443/tcp", "30000-32767/tcp".
	Ports []string `json:"ports,omitempty"`
	// Sources are addresses or ranges (CIDR) that may reach all ports.
	Sources []string `json:"sources,omitempty"`
}

// ID is the tool.
func (f FirewallPorts) ID() ID { return ID{"firewall", f.Tool} }

// How far something is let in, as observed.
const (
	firewallOpen   = "open"
	firewallClosed = "closed"
	firewallNow    = "open until a restart"
	firewallBoot   = "open after a restart"
)

// rule is one port or source that is let in.
type rule struct {
	kind string // "port" or "source"
	what string // "6443/tcp", "10.0.0.0/8"
}

// key is its name among what is observed.
func (r rule) key() string { return r.kind + " " + r.what }

func (f FirewallPorts) rules() []rule {
	var rules []rule
	for _, p := range f.Ports {
		rules = append(rules, rule{"port", p})
	}
	for _, s := range f.Sources {
		rules = append(rules, rule{"source", sourceName(s)})
	}
	return rules
}

// sourceName is a source as firewalls write it: a range of one address is that address.
func sourceName(s string) string {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return s
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.Masked().String()
}

// Observe asks the firewall for each port and source.
func (f FirewallPorts) Observe(ctx context.Context, env *Env) (Observed, error) {
	var o Observed
	var err error
	switch f.Tool {
	case "firewalld":
		o, err = f.observeFirewalld(ctx, env)
	case "ufw":
		o, err = f.observeUFW(ctx, env)
	default:
		return o, fmt.Errorf("the firewall %q is none that this program knows", f.Tool)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Observed{State: Absent}, nil
	}
	return o, err
}

// firewalldStopped is the code of firewall-cmd(1) where firewalld does not run.
const firewalldStopped = 252

func (f FirewallPorts) observeFirewalld(ctx context.Context, env *Env) (Observed, error) {
	state, err := env.Exec.Run(ctx, Command{Name: "firewall-cmd", Args: []string{"--state"}})
	if err != nil {
		return Observed{}, err
	}
	if state.Code == firewalldStopped {
		return Observed{State: Absent}, nil
	}
	zone, err := env.output(ctx, "firewall-cmd", "--get-default-zone")
	if err != nil {
		return Observed{}, err
	}
	zone = strings.TrimSpace(zone)
	o := Observed{State: Present, Values: map[string]string{"zone": zone}}
	open := map[bool][]string{}
	for _, permanent := range []bool{false, true} {
		for _, what := range [][]string{{"--zone=" + zone, "--list-ports"}, {"--zone=trusted", "--list-sources"}} {
			if permanent {
				what = append([]string{"--permanent"}, what...)
			}
			list, err := env.output(ctx, "firewall-cmd", what...)
			if err != nil {
				return Observed{}, err
			}
			open[permanent] = append(open[permanent], strings.Fields(list)...)
		}
	}
	for _, r := range f.rules() {
		now, boot := r.among(open[false]), r.among(open[true])
		switch {
		case now && boot:
			o.Values[r.key()] = firewallOpen
		case now:
			o.Values[r.key()] = firewallNow
		case boot:
			o.Values[r.key()] = firewallBoot
		default:
			o.Values[r.key()] = firewallClosed
		}
	}
	return o, nil
}

// among says whether ports or sources that are let in hold this one. firewalld merges neighbouring ports into ranges.
func (r rule) among(open []string) bool {
	if r.kind == "source" {
		return slices.ContainsFunc(open, func(s string) bool { return sourceName(s) == r.what })
	}
	want, ok := parsePorts(r.what)
	if !ok {
		return slices.Contains(open, r.what)
	}
	var ranges []portRange
	for _, s := range open {
		if p, ok := parsePorts(s); ok && p.protocol == want.protocol {
			ranges = append(ranges, p)
		}
	}
	slices.SortFunc(ranges, func(a, b portRange) int { return cmp.Compare(a.first, b.first) })
	next := want.first // the first port that is not known to be open
	for _, p := range ranges {
		if p.first <= next {
			next = max(next, p.last+1)
		}
	}
	return next > want.last
}

// portRange is some ports of a protocol, both ends included.
type portRange struct {
	first, last int
	protocol    string
}

// parsePorts reads "6443/tcp" and "30000-32767/tcp".
func parsePorts(s string) (portRange, bool) {
	ports, protocol, ok := strings.Cut(s, "/")
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(last)
	return portRange{a, b, protocol}, ok && errA == nil && errB == nil && a <= b
}

func (f FirewallPorts) observeUFW(ctx context.Context, env *Env) (Observed, error) {
	added, err := env.output(ctx, "ufw", "show", "added")
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{}}
	for _, r := range f.rules() {
		o.Values[r.key()] = firewallClosed
		want := "ufw " + strings.Join(r.ufw(), " ")
		for line := range strings.Lines(added) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), want); ok && (rest == "" || strings.HasPrefix(rest, " comment ")) {
				o.Values[r.key()] = firewallOpen
			}
		}
	}
	return o, nil
}

// ufw is the rule as ufw(8) writes it.
func (r rule) ufw() []string {
	if r.kind == "source" {
		return []string{"allow", "from", r.what}
	}
	return []string{"allow", strings.ReplaceAll(r.what, "-", ":")}
}

// Diff names what is not let in.
func (f FirewallPorts) Diff(o Observed) []Change {
	if o.State == Absent {
		return nil
	}
	var changes []Change
	for _, r := range f.rules() {
		if was := o.Value(r.key()); was != firewallOpen {
			changes = append(changes, Change{What: r.key(), Old: was, New: firewallOpen})
		}
	}
	return changes
}

// Apply lets them in, now and after a restart of the firewall.
func (f FirewallPorts) Apply(ctx context.Context, env *Env) error {
	o, err := f.Observe(ctx, env)
	if err != nil || len(f.Diff(o)) == 0 {
		return err
	}
	if f.Tool == "ufw" {
		for _, r := range f.rules() {
			if o.Value(r.key()) == firewallOpen {
				continue
			}
			if _, err := env.output(ctx, "ufw", append(r.ufw(), "comment", "kubewright")...); err != nil {
				return err
			}
		}
		return nil
	}
	return f.firewalld(ctx, env, "firewall-cmd", o, "add", func(was string, permanent bool) bool {
		return was == firewallClosed || was == firewallNow && permanent || was == firewallBoot && !permanent
	})
}

// firewalld adds or removes those rules whose observed state a function picks.
func (f FirewallPorts) firewalld(
	ctx context.Context, env *Env, command string, o Observed, verb string, pick func(was string, permanent bool) bool,
) error {
	for _, permanent := range []bool{true, false} {
		args := map[string][]string{}
		for _, r := range f.rules() {
			if pick(cmp.Or(o.Value(r.key()), firewallClosed), permanent) {
				args[r.kind] = append(args[r.kind], fmt.Sprintf("--%s-%s=%s", verb, r.kind, r.what))
			}
		}
		for kind, zone := range map[string]string{"port": o.Value("zone"), "source": "trusted"} {
			if len(args[kind]) == 0 {
				continue
			}
			all := append([]string{"--zone=" + zone}, args[kind]...)
			switch {
			case command == "firewall-offline-cmd" && !permanent:
				continue // nothing of it runs
			case command == "firewall-cmd" && permanent:
				all = append([]string{"--permanent"}, all...)
			}
			if _, err := env.output(ctx, command, all...); err != nil {
				return err
			}
		}
	}
	return nil
}

// Undo shuts out again what was not let in before.
func (f FirewallPorts) Undo(ctx context.Context, env *Env, previous Observed) error {
	o, err := f.Observe(ctx, env)
	if err != nil {
		return err
	}
	if f.Tool == "ufw" {
		for _, r := range f.rules() {
			if o.Value(r.key()) != firewallOpen || previous.Value(r.key()) == firewallOpen {
				continue
			}
			if _, err := env.output(ctx, "ufw", append([]string{"delete"}, r.ufw()...)...); err != nil {
				return err
			}
		}
		return nil
	}
	if previous.State == Absent {
		return nil // Apply let nothing in
	}
	command := "firewall-cmd"
	if o.State == Absent {
		command = "firewall-offline-cmd"
	}
	err = f.firewalld(ctx, env, command, previous, "remove", func(was string, permanent bool) bool {
		return was == firewallClosed || was == firewallNow && permanent || was == firewallBoot && !permanent
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // firewalld is not installed any more
	}
	return err
}

package resource

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// FirewallPorts is what a firewall of the machine lets in. Where the firewall is not there, everything is let in. What Kubewright let in and is not
// wanted any more is shut out again; what others let in stays, wanted or not.
type FirewallPorts struct {
	Tool string `json:"tool"` // "firewalld" or "ufw"
	// Ports that all may reach: "6443/tcp", "30000-32767/tcp".
	Ports []string `json:"ports,omitempty"`
	// Protocols that all may use which have no ports: "vrrp".
	Protocols []string `json:"protocols,omitempty"`
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

// rule is one port, protocol or source that is let in.
type rule struct {
	kind string // "port", "protocol" or "source"
	what string // "6443/tcp", "vrrp", "10.0.0.0/8"
}

// key is its name among what is observed.
func (r rule) key() string { return r.kind + " " + r.what }

func (f FirewallPorts) rules() []rule {
	var rules []rule
	for _, p := range f.Ports {
		rules = append(rules, rule{"port", p})
	}
	for _, p := range f.Protocols {
		rules = append(rules, rule{"protocol", p})
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

// letIn is what Kubewright let in through a firewall. It is written before that happens.
type letIn struct {
	// Zone of firewalld that has the ports.
	Zone string `json:"zone,omitempty"`
	// Was is how far each was open before, by rule.key.
	Was map[string]string `json:"was"`
}

func (f FirewallPorts) record() string { return Dir + "/firewall-" + f.Tool + ".json" }

func (f FirewallPorts) readRecord(env *Env) (letIn, error) {
	in := letIn{Was: map[string]string{}}
	r, err := env.Files.Open(f.record())
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil
	}
	if err != nil {
		return in, err
	}
	err = json.NewDecoder(r).Decode(&in)
	if err := errors.Join(err, r.Close()); err != nil {
		return in, fmt.Errorf("reading %s: %w; remove it, and what was let in stays so", f.record(), err)
	}
	return in, nil
}

// writeRecord removes it when there is nothing to remember.
func (f FirewallPorts) writeRecord(env *Env, in letIn) error {
	if len(in.Was) == 0 {
		return env.Files.Remove(f.record())
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return env.Files.Write(f.record(), Attributes{Mode: 0o644}, bytes.NewReader(b))
}

// rulesOf are the rules that are remembered, sorted.
func (in letIn) rulesOf() []rule {
	var rules []rule
	for _, key := range slices.Sorted(maps.Keys(in.Was)) {
		kind, what, _ := strings.Cut(key, " ")
		rules = append(rules, rule{kind, what})
	}
	return rules
}

// unwanted are rules that Kubewright let in and that are not wanted any more.
func (f FirewallPorts) unwanted(in letIn) []rule {
	wanted := f.rules()
	return slices.DeleteFunc(in.rulesOf(), func(r rule) bool { return slices.Contains(wanted, r) })
}

// noMore begins the names of values that say how far something is open that is not wanted any more.
const noMore = "no more "

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
		for _, what := range [][]string{{"--zone=" + zone, "--list-ports"}, {"--zone=" + zone, "--list-protocols"}, {"--zone=trusted", "--list-sources"}} {
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
		o.Values[r.key()] = r.howFar(open[false], open[true])
	}
	in, err := f.readRecord(env)
	if err != nil {
		return Observed{}, err
	}
	for _, r := range f.unwanted(in) {
		o.Values[noMore+r.key()] = r.howFar(open[false], open[true])
	}
	return o, nil
}

// howFar a port or source is open, by what firewalld lists now and for its next start.
func (r rule) howFar(now, boot []string) string {
	switch now, boot := r.among(now), r.among(boot); {
	case now && boot:
		return firewallOpen
	case now:
		return firewallNow
	case boot:
		return firewallBoot
	}
	return firewallClosed
}

// among says whether ports or sources that are let in hold this one. firewalld merges neighbouring ports into ranges.
func (r rule) among(open []string) bool {
	if r.kind == "protocol" {
		return slices.Contains(open, r.what)
	}
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
		o.Values[r.key()] = r.amongUFW(added)
	}
	in, err := f.readRecord(env)
	if err != nil {
		return Observed{}, err
	}
	for _, r := range f.unwanted(in) {
		o.Values[noMore+r.key()] = r.amongUFW(added)
	}
	return o, nil
}

// amongUFW says whether a rule is among those that "ufw show added" lists.
func (r rule) amongUFW(added string) string {
	want := "ufw " + strings.Join(r.ufw(), " ")
	for line := range strings.Lines(added) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), want); ok && (rest == "" || strings.HasPrefix(rest, " comment ")) {
			return firewallOpen
		}
	}
	return firewallClosed
}

// ufw is the rule as ufw(8) writes it.
func (r rule) ufw() []string {
	switch r.kind {
	case "source":
		return []string{"allow", "from", r.what}
	case "protocol":
		return []string{"allow", "to", "any", "proto", r.what} // "show added" lists it so, whatever it was added by
	}
	return []string{"allow", strings.ReplaceAll(r.what, "-", ":")}
}

// Diff names what is not let in, and what is to be shut out again.
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
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		if key, ok := strings.CutPrefix(name, noMore); ok {
			changes = append(changes, Change{What: key, Old: o.Value(name), New: firewallClosed, Why: "Kubewright let it in, and nothing needs it any more"})
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
	in, err := f.readRecord(env)
	if err != nil {
		return err
	}
	gone := f.unwanted(in)
	if in.Zone != "" && in.Zone != o.Value("zone") {
		gone = in.rulesOf() // all of it is in a zone that is not the default any more
	}
	// What goes goes first: it may have been what let in others, as ranges do.
	if len(gone) > 0 {
		if err := f.shut(ctx, env, gone, in, o.State == Present); err != nil {
			return err
		}
		for _, r := range gone {
			delete(in.Was, r.key())
		}
		if err := f.writeRecord(env, in); err != nil {
			return err
		}
		if o, err = f.Observe(ctx, env); err != nil {
			return err
		}
	}
	missing := slices.DeleteFunc(f.rules(), func(r rule) bool { return o.Value(r.key()) == firewallOpen })
	if len(missing) == 0 {
		return nil
	}
	in.Zone = o.Value("zone")
	for _, r := range missing {
		if _, known := in.Was[r.key()]; !known {
			in.Was[r.key()] = o.Value(r.key())
		}
	}
	if err := f.writeRecord(env, in); err != nil {
		return err
	}
	if f.Tool == "ufw" {
		for _, r := range missing {
			if _, err := env.output(ctx, "ufw", append(r.ufw(), "comment", "kubewright")...); err != nil {
				return err
			}
		}
		return nil
	}
	return firewalld(ctx, env, "firewall-cmd", o.Value("zone"), "add", missing, o.Values)
}

// firewalld adds or removes rules as far as they were not open.
func firewalld(ctx context.Context, env *Env, command, zone, verb string, rules []rule, was map[string]string) error {
	for _, permanent := range []bool{true, false} {
		args := map[string][]string{}
		for _, r := range rules {
			w := was[r.key()]
			if w == firewallClosed || w == firewallNow && permanent || w == firewallBoot && !permanent {
				args[r.kind] = append(args[r.kind], fmt.Sprintf("--%s-%s=%s", verb, r.kind, r.what))
			}
		}
		for kind, zone := range map[string]string{"port": zone, "protocol": zone, "source": "trusted"} {
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

// shut takes back what was let in, as far as it was not open before.
func (f FirewallPorts) shut(ctx context.Context, env *Env, rules []rule, in letIn, runs bool) error {
	if f.Tool != "ufw" {
		command := "firewall-cmd"
		if !runs {
			command = "firewall-offline-cmd"
		}
		err := firewalld(ctx, env, command, in.Zone, "remove", rules, in.Was)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // firewalld is not installed any more
		}
		return err
	}
	added, err := env.output(ctx, "ufw", "show", "added")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.amongUFW(added) != firewallOpen {
			continue // ufw asks to be told what is there
		}
		if _, err := env.output(ctx, "ufw", append([]string{"delete"}, r.ufw()...)...); err != nil {
			return err
		}
	}
	return nil
}

// Undo shuts out again what Kubewright let in, now or when more was wanted.
func (f FirewallPorts) Undo(ctx context.Context, env *Env, _ Observed) error {
	in, err := f.readRecord(env)
	if err != nil || len(in.Was) == 0 {
		return err
	}
	o, err := f.Observe(ctx, env)
	if err != nil {
		return err
	}
	if err := f.shut(ctx, env, in.rulesOf(), in, o.State == Present); err != nil {
		return err
	}
	return env.Files.Remove(f.record())
}

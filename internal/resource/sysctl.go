package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Sysctl is the value of a kernel parameter now. That it is there after a boot, too, is a SysctlFile.
type Sysctl struct {
	Name  string `json:"name"` // with dots, as in sysctl.d(5): "net.ipv4.ip_forward", "net.ipv4.conf.eth0/100.rp_filter" of the interface eth0.100
	Value string `json:"value"`
	// AtLeast says that more will do, too: a limit, of which a machine may have more by itself. It counts for single whole numbers that are not
	// negative; other values, such as the three of net.ipv4.tcp_rmem, have to be the same.
	AtLeast bool `json:"atLeast,omitempty"`
	// Optional is why it is harmless not to have it. Where the machine has not got it or may not set it, people are told so, and that is all.
	Optional string `json:"optional,omitempty"`
	// Module is the kernel module that brings it; loading it may be planned.
	Module string `json:"module,omitempty"`
}

// ID is its name.
func (s Sysctl) ID() ID { return ID{"sysctl", s.Name} }

// normal is a value as it is compared: the kernel separates with tabs what people separate with spaces.
func normal(value string) string { return strings.Join(strings.Fields(value), " ") }

// enough says whether a value is at least another, or the same where they are no single numbers.
func enough(is, want string) bool {
	a, errA := strconv.ParseUint(normal(is), 10, 64)
	b, errB := strconv.ParseUint(normal(want), 10, 64)
	if errA != nil || errB != nil {
		return normal(is) == normal(want)
	}
	return a >= b
}

// holds says whether a value is as it shall be.
func (s Sysctl) holds(value string) bool {
	if s.AtLeast {
		return enough(value, s.Value)
	}
	return normal(value) == normal(s.Value)
}

// Observe reads the value and, if it differs, whether it can be set.
func (s Sysctl) Observe(_ context.Context, env *Env) (Observed, error) {
	value, err := env.Kernel.Sysctl(s.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return s.observeMissing(env)
	}
	if err != nil {
		return Observed{}, fmt.Errorf("reading the kernel parameter %s: %w", s.Name, err)
	}
	values := map[string]string{"value": normal(value)}
	o := Observed{State: Present, Values: values}
	if s.holds(value) {
		return o, nil
	}
	moves, err := s.moves(env)
	if err != nil {
		return Observed{}, err
	}
	for _, name := range moves {
		if v, err := env.Kernel.Sysctl(name); err == nil { // an interface that has gone meanwhile has none
			values[moved+name] = normal(v)
		}
	}
	settable, why := env.Kernel.SysctlSettable(s.Name)
	if settable && s.Optional != "" {
		if why, err = passedOver(env, s.ID(), normal(s.Value)); err != nil {
			return Observed{}, err
		}
		settable = why == ""
	}
	if !settable {
		why = fmt.Sprintf("it is %s and cannot be set to %s: %s", normal(value), normal(s.Value), why)
		o = impossible(env, Present, why, s.Optional, "allow it, or ask for the value that it has")
		o.Values = values
	}
	return o, nil
}

// moved and the name of another parameter is the value that it has before the kernel changes it along with this one.
const moved = "moved "

// moves are the parameters that the kernel sets along with this one: whether packets are forwarded becomes so on all interfaces, and who forwards accepts
// no redirects (inet_forward_change in net/ipv4/devinet.c, addrconf_forward_change in net/ipv6/addrconf.c).
func (s Sysctl) moves(env *Env) ([]string, error) {
	var names []string
	family := "net.ipv4.conf."
	switch s.Name {
	case "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding":
		names = []string{"net.ipv4.conf.all.accept_redirects"}
	case "net.ipv6.conf.all.forwarding":
		family = "net.ipv6.conf."
	default:
		return nil, nil
	}
	dir := "/proc/sys/" + strings.ReplaceAll(strings.TrimSuffix(family, "."), ".", "/")
	interfaces, err := env.Files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the kernel parameters of interfaces: %w", err)
	}
	for _, i := range interfaces {
		if i != "all" {
			names = append(names, family+strings.ReplaceAll(i, ".", "/")+".forwarding")
		}
	}
	return names, nil
}

func (s Sysctl) observeMissing(env *Env) (Observed, error) {
	why, remedy := "this kernel has no "+s.Name, "boot one that has it"
	if s.Module != "" {
		state, err := env.Kernel.Module(s.Module)
		if err != nil {
			return Observed{}, fmt.Errorf("asking for the kernel module %s: %w", s.Module, err)
		}
		if state == ModuleAvailable {
			return Observed{State: Absent}, nil
		}
		why += fmt.Sprintf(" (the module %s is %s)", s.Module, state)
	}
	return impossible(env, Absent, why, s.Optional, remedy), nil
}

// Diff compares the values.
func (s Sysctl) Diff(o Observed) []Change {
	switch {
	case o.Note != "": // it cannot be set, which is harmless
		return nil
	case o.State == Absent:
		return []Change{{What: "value", Old: "unset", New: normal(s.Value)}}
	case !s.holds(o.Value("value")):
		return []Change{{What: "value", Old: o.Value("value"), New: normal(s.Value)}}
	}
	return nil
}

// Apply sets it. Where that turns out to be impossible and it is optional, this is remembered for Observe.
func (s Sysctl) Apply(ctx context.Context, env *Env) error {
	o, err := s.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(s.Diff(o)) == 0:
		return nil
	}
	err = env.Kernel.SetSysctl(s.Name, s.Value)
	if err == nil {
		value, readErr := env.Kernel.Sysctl(s.Name)
		switch {
		case readErr != nil:
			return fmt.Errorf("reading the kernel parameter %s: %w", s.Name, readErr)
		case s.holds(value):
			return forgetPassedOver(env, s.ID())
		}
		err = BlockedError{"it stays " + normal(value)}
	}
	if _, refused := errors.AsType[BlockedError](err); !refused && !cannot(err) {
		return fmt.Errorf("setting the kernel parameter %s to %s: %w", s.Name, s.Value, err)
	}
	if s.Optional != "" {
		return passOver(env, s.ID(), normal(s.Value), err)
	}
	return BlockedError{fmt.Sprintf("the kernel parameter %s cannot be set to %s here: %v", s.Name, s.Value, err)}
}

// Undo puts its value back, where it had one. Where somebody raised a limit further since, it stays: that is not what Apply did.
func (s Sysctl) Undo(_ context.Context, env *Env, previous Observed) error {
	if err := forgetPassedOver(env, s.ID()); err != nil {
		return err
	}
	was, ok := previous.Values["value"]
	if !ok {
		return nil // it goes with its module
	}
	if value, err := env.Kernel.Sysctl(s.Name); err == nil && s.AtLeast && normal(value) != normal(s.Value) && enough(value, s.Value) {
		return nil
	}
	if err := putBackSysctl(env, s.Name, was); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(previous.Values)) {
		if name, ok := strings.CutPrefix(key, moved); ok {
			if err := putBackSysctl(env, name, previous.Values[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// putBackSysctl sets a parameter to what it was, if it is still there.
func putBackSysctl(env *Env, name, was string) error {
	value, err := env.Kernel.Sysctl(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && normal(value) == normal(was) {
		return nil
	}
	if err == nil {
		err = env.Kernel.SetSysctl(name, was)
	}
	if err != nil {
		return fmt.Errorf("setting the kernel parameter %s back to %s: %w", name, was, err)
	}
	return nil
}

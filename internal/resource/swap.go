package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// Swap is that no swap area is in use, and that no unit turns one on. Areas of a computer that the machine shares with others are its owner's.
type Swap struct{}

// ID is the same everywhere.
func (Swap) ID() ID { return ID{"swap", "all"} }

// swapUnits turn swap on: patterns of units that systemd makes of fstab, of partitions and of zram-generator's configuration, and the services of
// Debian and Raspberry Pi OS.
func swapUnits(ctx context.Context, env *Env) ([]string, error) {
	names, err := env.Systemd.Loaded(ctx, "*.swap", "systemd-zram-setup@*.service")
	if err != nil {
		return nil, fmt.Errorf("asking systemd for units that turn swap on: %w", err)
	}
	return append(names, "dphys-swapfile.service", "zramswap.service"), nil
}

// Prefixes of the names of what is observed.
const (
	swapArea = "area "             // and its path; the value is its size in bytes
	swapPrio = "priority of area " // and its path
	swapUnit = "unit "             // and its name; the value is its state and whether something may start it: "active generated"
)

// Observe finds the areas in use, and the units that run or may be started.
func (Swap) Observe(ctx context.Context, env *Env) (Observed, error) {
	areas, err := env.Kernel.Swaps()
	if err != nil {
		return Observed{}, fmt.Errorf("asking the kernel for swap areas: %w", err)
	}
	o := Observed{State: Present, Values: map[string]string{}}
	if env.Kernel.Shared() {
		if len(areas) > 0 {
			o.Note = fmt.Sprintf("the computer that this machine runs on swaps to %s; whether it should is for its owner to say", areas[0].Path)
		}
		return o, nil
	}
	for _, a := range areas {
		o.Values[swapArea+a.Path] = strconv.FormatUint(a.Size, 10)
		o.Values[swapPrio+a.Path] = strconv.Itoa(a.Priority)
	}
	names, err := swapUnits(ctx, env)
	if err != nil {
		return Observed{}, err
	}
	for _, name := range names {
		u, err := env.Systemd.Unit(ctx, name)
		if err != nil {
			return Observed{}, err
		}
		if u.runs() || u.mayStart() {
			o.Values[swapUnit+name] = u.Active + " " + u.File
		}
	}
	return o, nil
}

// Diff names areas and units.
func (Swap) Diff(o Observed) []Change {
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(o.Values)) {
		if area, ok := strings.CutPrefix(key, swapArea); ok {
			size, _ := strconv.ParseFloat(o.Values[key], 64) // what is no number is shown as 0B
			changes = append(changes, Change{What: area, Old: units.BytesSize(size) + " of swap", New: "off"})
		}
		if unit, ok := strings.CutPrefix(key, swapUnit); ok {
			changes = append(changes, Change{What: unit, Old: strings.TrimSpace(o.Values[key]), New: "off"})
		}
	}
	return changes
}

// Apply stops and masks the units, then turns off the areas that are left.
func (s Swap) Apply(ctx context.Context, env *Env) error {
	if env.Kernel.Shared() {
		return nil
	}
	// Units that systemd made of lines of fstab that have gone since go first: masks of them would stay.
	if err := env.Systemd.DaemonReload(ctx); err != nil {
		return err
	}
	o, err := s.Observe(ctx, env)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(o.Values)) {
		if unit, ok := strings.CutPrefix(key, swapUnit); ok {
			if err := stopForGood(ctx, env, unit); err != nil {
				return err
			}
		}
	}
	areas, err := env.Kernel.Swaps()
	if err != nil {
		return fmt.Errorf("asking the kernel for swap areas: %w", err)
	}
	for _, a := range areas {
		env.progress("turning off swap on " + a.Path)
		if err := env.Kernel.SwapOff(a.Path); err != nil {
			return fmt.Errorf("turning off swap on %s (is there memory enough for what lies there?): %w", a.Path, err)
		}
	}
	return nil
}

// stopForGood stops a unit and sees to it that nothing starts it again.
func stopForGood(ctx context.Context, env *Env, unit string) error {
	if err := env.Systemd.Stop(ctx, unit); err != nil {
		return err
	}
	u, err := env.Systemd.Unit(ctx, unit)
	if err != nil || !u.mayStart() {
		return err
	}
	masked := env.Systemd.Mask(ctx, unit)
	if masked == nil {
		return nil
	}
	// One whose file is where the mask would be cannot have one.
	if err := env.Systemd.Disable(ctx, unit); err != nil {
		return errors.Join(masked, err)
	}
	if u, err = env.Systemd.Unit(ctx, unit); err != nil || !u.mayStart() {
		return err
	}
	return BlockedError{fmt.Sprintf("%s can be neither masked nor disabled (%v); remove its file", unit, masked)}
}

// Undo lets the units start again, and turns on what was on.
func (Swap) Undo(ctx context.Context, env *Env, previous Observed) error {
	keys := slices.Sorted(maps.Keys(previous.Values))
	for _, key := range keys {
		unit, ok := strings.CutPrefix(key, swapUnit)
		if !ok {
			continue
		}
		active, file, _ := strings.Cut(previous.Values[key], " ")
		if err := letStart(ctx, env, unit, active, file); err != nil {
			return err
		}
	}
	areas, err := env.Kernel.Swaps()
	if err != nil {
		return fmt.Errorf("asking the kernel for swap areas: %w", err)
	}
	for _, a := range areasOf(previous) {
		if slices.ContainsFunc(areas, func(on SwapArea) bool { return on.Path == a.Path }) {
			continue
		}
		if err := env.Kernel.SwapOn(a); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("turning on swap on %s: %w", a.Path, err)
		}
	}
	return nil
}

// areasOf are the areas that were on, in the order in which to turn them on: the kernel gives those to which nobody gave a priority lower and lower ones.
func areasOf(o Observed) []SwapArea {
	var areas []SwapArea
	for _, key := range slices.Sorted(maps.Keys(o.Values)) {
		if name, ok := strings.CutPrefix(key, swapArea); ok {
			priority, err := strconv.Atoi(o.Value(swapPrio + name))
			if err != nil {
				priority = -1 // it was not remembered
			}
			areas = append(areas, SwapArea{Path: name, Priority: priority})
		}
	}
	slices.SortStableFunc(areas, func(a, b SwapArea) int { return cmp.Compare(b.Priority, a.Priority) })
	return areas
}

// letStart is the reverse of stopForGood.
func letStart(ctx context.Context, env *Env, unit, active, file string) error {
	u, err := env.Systemd.Unit(ctx, unit)
	if err != nil {
		return err
	}
	if u.masked() && file != "masked" {
		if err := env.Systemd.Unmask(ctx, unit); err != nil {
			return err
		}
		if err := env.Systemd.DaemonReload(ctx); err != nil {
			return err
		}
		if u, err = env.Systemd.Unit(ctx, unit); err != nil {
			return err
		}
	}
	if u.Load == "not-found" {
		return nil // it comes back with its line in fstab
	}
	if file == "enabled" && u.File != "enabled" {
		if err := env.Systemd.Enable(ctx, unit); err != nil {
			return err
		}
	}
	if active == "active" && !u.runs() {
		return env.Systemd.Start(ctx, unit)
	}
	return nil
}

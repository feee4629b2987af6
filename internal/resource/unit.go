package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Unit is a unit of systemd that runs or does not, now and after a boot.
type Unit struct {
	Name string `json:"name"` // in full: "containerd.service"
	// Active says whether it shall run now.
	Active bool `json:"active,omitempty"`
	// Enabled says whether it shall be started at boot.
	Enabled bool `json:"enabled,omitempty"`
	// Masked says that nothing may start it; it goes with neither Active nor Enabled.
	Masked bool `json:"masked,omitempty"`
	// RestartOn are resources of the same step that it reads only when it starts.
	RestartOn []ID `json:"restartOn,omitempty"`
	// ReloadOn are resources of the same step that it reads again when it is told to, without disturbing anybody.
	ReloadOn []ID `json:"reloadOn,omitempty"`
}

// runs says whether processes of the unit run, or are about to.
func (u UnitState) runs() bool {
	return u.Active == "active" || u.Active == "activating" || u.Active == "reloading" || u.Active == "refreshing" || u.Active == "deactivating"
}

func (u UnitState) masked() bool {
	return u.Load == "masked" || strings.HasPrefix(u.File, "masked")
}

// mayStart says whether something may start the unit at boot: it is enabled, or others that are want it.
func (u UnitState) mayStart() bool {
	switch u.File {
	case "", "disabled", "bad", "transient":
		return false
	}
	return !u.masked() && u.Load != "not-found"
}

// ID is its name.
func (u Unit) ID() ID { return ID{"unit", u.Name} }

// Observe asks systemd.
func (u Unit) Observe(ctx context.Context, env *Env) (Observed, error) {
	s, err := env.Systemd.Unit(ctx, u.Name)
	if err != nil {
		return Observed{}, fmt.Errorf("asking systemd for %s: %w", u.Name, err)
	}
	o := Observed{State: Present, Values: map[string]string{"active": s.Active, "enabled": s.File}}
	if s.Load == "not-found" {
		o.State = Absent
	}
	if s.masked() {
		o.Values["enabled"] = "masked"
	}
	if s.Reload {
		o.Values["reload"] = "needed"
	}
	return o, nil
}

func running(o Observed) bool { return UnitState{Active: o.Value("active")}.runs() }

// enabledIs says whether a unit is enabled or not. One that cannot be ("static") is either.
func enabledIs(found string, want bool) bool {
	switch found {
	case "enabled", "enabled-runtime":
		return want
	case "static", "indirect", "generated", "transient", "alias":
		return true
	}
	return !want
}

// Diff compares states. A unit that is absent is as good as one that is off, and so is a masked one.
func (u Unit) Diff(o Observed) []Change {
	var changes []Change
	on := u.Active || u.Enabled
	active, enabled := o.Value("active"), o.Value("enabled")
	if o.Value("reload") != "" && (on || running(o)) {
		changes = append(changes, Change{What: "daemon-reload", Why: "its file changed since systemd read it"})
	}
	if enabled == "masked" && on || enabled != "masked" && u.Masked {
		changes = append(changes, Change{What: "masked", Old: yesNo(!u.Masked), New: yesNo(u.Masked)})
	}
	switch {
	case u.Active && active != "active" && active != "reloading" && active != "refreshing":
		changes = append(changes, Change{What: "active", Old: orNone(o.stateOf("active")), New: "active"})
	case !u.Active && running(o):
		changes = append(changes, Change{What: "active", Old: active, New: "inactive", Disturbs: active != "deactivating"})
	}
	if enabled == "masked" && !on || u.Masked {
		return changes
	}
	if !enabledIs(enabled, u.Enabled) {
		changes = append(changes, Change{What: "enabled", Old: orNone(o.stateOf("enabled")), New: map[bool]string{true: "enabled", false: "disabled"}[u.Enabled]})
	}
	return changes
}

// stateOf is a value for people: of a unit that is absent, that.
func (o Observed) stateOf(name string) string {
	if o.State == Absent {
		return "absent"
	}
	return o.Value(name)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// TriggeredBy is what it has to be restarted or told to read again after. A unit that shall not run needs neither.
func (u Unit) TriggeredBy() []ID {
	if !u.Active {
		return nil
	}
	return slices.Concat(u.RestartOn, u.ReloadOn)
}

// restarts says whether it has to be restarted after some resources changed, and not only told to read again.
func (u Unit) restarts(by []ID) bool {
	return slices.ContainsFunc(by, func(id ID) bool { return !slices.Contains(u.ReloadOn, id) })
}

// Trigger is the restart, which disturbs if the unit runs, or the reload, which does not. Of a unit of which nothing was observed, everything is as it shall be.
func (u Unit) Trigger(o Observed, by []ID) Change {
	var changes, changed []string
	for _, id := range by {
		if slices.Contains(o.Pending, id) {
			changed = append(changed, id.Name)
		} else {
			changes = append(changes, id.Name)
		}
	}
	var why []string
	switch len(changes) {
	case 0:
	case 1:
		why = append(why, "because "+changes[0]+" changes")
	default:
		why = append(why, "because "+strings.Join(changes, ", ")+" change")
	}
	if len(changed) > 0 {
		was := "restarted"
		if !u.restarts(by) {
			was = "reloaded"
		}
		why = append(why, "because "+strings.Join(changed, ", ")+" changed and it was not "+was+" since")
	}
	if !u.restarts(by) {
		return Change{What: "reload", Why: strings.Join(why, ", and ")}
	}
	return Change{What: "restart", Why: strings.Join(why, ", and "), Disturbs: o.State == "" || running(o)}
}

// Apply makes it so. It does not restart what runs.
func (u Unit) Apply(ctx context.Context, env *Env) error { return u.set(ctx, env, nil) }

// Fire makes it so, and if it shall run restarts it, or has it read again where that is enough.
func (u Unit) Fire(ctx context.Context, env *Env, by []ID) error {
	if u.restarts(by) {
		return u.set(ctx, env, env.Systemd.Restart)
	}
	return u.set(ctx, env, env.Systemd.Reload)
}

// Ran says whether it was active.
func (u Unit) Ran(previous Observed) bool {
	if previous.State == "" {
		return u.Active
	}
	return running(previous)
}

// Refire restarts it if it runs.
func (u Unit) Refire(ctx context.Context, env *Env) error {
	s, err := env.Systemd.Unit(ctx, u.Name)
	if err != nil || !s.runs() {
		return err
	}
	return env.Systemd.Restart(ctx, u.Name)
}

// set makes it so. Again is what is done to the unit if it runs already and shall; may be nil.
func (u Unit) set(ctx context.Context, env *Env, again func(ctx context.Context, name string) error) error {
	sd := env.Systemd
	s, err := sd.Unit(ctx, u.Name)
	if err != nil {
		return fmt.Errorf("asking systemd for %s: %w", u.Name, err)
	}
	on := u.Active || u.Enabled
	unmasked := false
	if s.masked() && on {
		if err := sd.Unmask(ctx, u.Name); err != nil {
			return err
		}
		unmasked = true
	}
	if s.Reload || unmasked || on && s.Load == "not-found" {
		if err := sd.DaemonReload(ctx); err != nil {
			return err
		}
		if s, err = sd.Unit(ctx, u.Name); err != nil {
			return fmt.Errorf("asking systemd for %s: %w", u.Name, err)
		}
	}
	if on && s.Load == "not-found" {
		return fmt.Errorf("systemd knows no unit %s; is the package that brings it installed?", u.Name)
	}
	// What runs at boot comes first: should this be cut off, a boot does the rest.
	if s.Load != "not-found" && !s.masked() && !enabledIs(s.File, u.Enabled) {
		set := sd.Disable
		if u.Enabled {
			set = sd.Enable
		}
		if err := set(ctx, u.Name); err != nil {
			return err
		}
	}
	switch {
	case u.Active && s.Active != "active" && s.Active != "reloading" && s.Active != "refreshing":
		start := sd.Start
		if again != nil && s.runs() {
			start = sd.Restart // it is starting, by what was there before
		}
		if err := start(ctx, u.Name); err != nil {
			return err
		}
	case u.Active && again != nil:
		if err := again(ctx, u.Name); err != nil {
			return err
		}
	case !u.Active && s.runs():
		if err := sd.Stop(ctx, u.Name); err != nil {
			return err
		}
	}
	if u.Masked && !s.masked() {
		return sd.Mask(ctx, u.Name)
	}
	return nil
}

// Undo puts its state back. One that did not exist is stopped and disabled.
func (u Unit) Undo(ctx context.Context, env *Env, previous Observed) error {
	enabled := previous.Value("enabled")
	s, err := env.Systemd.Unit(ctx, u.Name)
	if err != nil {
		return fmt.Errorf("asking systemd for %s: %w", u.Name, err)
	}
	if s.masked() && enabled != "masked" {
		if err := env.Systemd.Unmask(ctx, u.Name); err != nil {
			return err
		}
		if err := env.Systemd.DaemonReload(ctx); err != nil {
			return err
		}
		if s, err = env.Systemd.Unit(ctx, u.Name); err != nil {
			return fmt.Errorf("asking systemd for %s: %w", u.Name, err)
		}
	}
	if s.Active == "failed" && previous.Value("active") != "failed" {
		// Nothing of it runs; but systemd forgets that it failed.
		if err := env.Systemd.Stop(ctx, u.Name); err != nil {
			return err
		}
	}
	if s.Load == "not-found" && !s.runs() {
		return nil // its file has gone, and with it what there was to undo
	}
	was := Unit{Name: u.Name, Active: previous.State == Present && running(previous), Masked: enabled == "masked"}
	was.Enabled = previous.State == Present && strings.HasPrefix(enabled, "enabled")
	if enabled == "masked" {
		// A masked unit can run, but not be started: it is left as it is.
		was.Active = false
	}
	return was.set(ctx, env, nil)
}

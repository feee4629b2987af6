package resource

import (
	"context"
	"errors"
	"io/fs"
	"strings"
)

const (
	selinuxConfig  = "/etc/selinux/config"
	selinuxEnforce = "/sys/fs/selinux/enforce"
)

// SELinux is the mode that SELinux is in, now and after a boot. A machine without SELinux, or where it is off, is as it shall be.
type SELinux struct {
	Mode string `json:"mode"` // "permissive" or "enforcing"
}

// ID is the same everywhere.
func (SELinux) ID() ID { return ID{"selinux", "mode"} }

// Observe reads the mode from the kernel and from the configuration.
func (SELinux) Observe(_ context.Context, env *Env) (Observed, error) {
	if _, err := env.Files.Stat(selinuxEnforce); errors.Is(err, fs.ErrNotExist) {
		return Observed{State: Absent}, nil
	} else if err != nil {
		return Observed{}, err
	}
	running, err := readText(env, selinuxEnforce)
	if err != nil {
		return Observed{}, err
	}
	f, err := readText(env, selinuxConfig)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{"running": "permissive"}}
	if strings.TrimSpace(running.text) == "1" {
		o.Values["running"] = "enforcing"
	}
	if mode, _, ok := cutSELinuxMode(f.text); ok {
		o.Values["boot"] = mode
	}
	return o, nil
}

// cutSELinuxMode finds the mode that the configuration sets, and gives the configuration with another one.
func cutSELinuxMode(config string) (mode string, with func(string) string, ok bool) {
	at := 0
	for line := range strings.Lines(config) {
		if value, found := strings.CutPrefix(line, "SELINUX="); found {
			start := at + len("SELINUX=")
			mode = strings.TrimSpace(value)
			stop := start + len(strings.TrimRight(value, " \t\r\n"))
			return mode, func(other string) string { return config[:start] + other + config[stop:] }, true
		}
		at += len(line)
	}
	return "", nil, false
}

// Diff compares both modes. Where SELinux is off after a boot, that is left alone.
func (s SELinux) Diff(o Observed) []Change {
	var changes []Change
	if was := o.Value("running"); was != "" && was != s.Mode {
		changes = append(changes, Change{What: "mode", Old: was, New: s.Mode})
	}
	if was := o.Value("boot"); was != "" && was != s.Mode && was != "disabled" {
		changes = append(changes, Change{What: "mode after a boot", Old: was, New: s.Mode})
	}
	return changes
}

// Apply sets both.
func (s SELinux) Apply(ctx context.Context, env *Env) error {
	o, err := s.Observe(ctx, env)
	if err != nil || o.State == Absent {
		return err
	}
	boot := s.Mode
	if o.Value("boot") == "disabled" {
		boot = "disabled"
	}
	return setSELinux(ctx, env, o, s.Mode, boot)
}

func setSELinux(ctx context.Context, env *Env, o Observed, running, boot string) error {
	f, err := readText(env, selinuxConfig)
	if err != nil {
		return err
	}
	if _, with, ok := cutSELinuxMode(f.text); ok && boot != "" {
		if err := f.write(env, with(boot)); err != nil {
			return err
		}
	}
	if o.Value("running") == running {
		return nil
	}
	_, err = env.output(ctx, "setenforce", map[bool]string{true: "1", false: "0"}[running == "enforcing"])
	return err
}

// Undo puts both back.
func (s SELinux) Undo(ctx context.Context, env *Env, previous Observed) error {
	o, err := s.Observe(ctx, env)
	if err != nil || o.State == Absent || previous.State == Absent {
		return err
	}
	return setSELinux(ctx, env, o, previous.Value("running"), previous.Value("boot"))
}

package resource

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

const hostnamePath = "/etc/hostname"

// Hostname is the name of the machine: the kernel's, and the one in /etc/hostname.
type Hostname struct {
	Name string `json:"name"`
}

// ID is the same everywhere: a machine has one name.
func (Hostname) ID() ID { return ID{"hostname", "static"} }

// Observe reads both names.
func (Hostname) Observe(_ context.Context, env *Env) (Observed, error) {
	kernel, err := env.Kernel.Hostname()
	if err != nil {
		return Observed{}, fmt.Errorf("asking the kernel for the machine's name: %w", err)
	}
	f, err := readText(env, hostnamePath)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{"kernel": kernel, "file": staticName(f.text)}}
	if f.present {
		// All that it takes to put it back: comments, and an end of line or none.
		o.Values["text"] = f.text
		o.Values["mode"] = modeName(f.attributes.Mode)
		o.Values["owner"] = f.attributes.Owner + ":" + f.attributes.Group
	}
	return o, nil
}

// staticName is what hostname(5) takes from the file.
func staticName(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

// Diff compares both names.
func (h Hostname) Diff(o Observed) []Change {
	var changes []Change
	if was := o.Value("kernel"); was != h.Name {
		changes = append(changes, Change{What: "name", Old: was, New: h.Name})
	}
	if was := o.Value("file"); was != h.Name {
		changes = append(changes, Change{What: hostnamePath, Old: was, New: h.Name})
	}
	return changes
}

// Apply sets both.
func (h Hostname) Apply(ctx context.Context, env *Env) error {
	o, err := h.Observe(ctx, env)
	if err != nil {
		return err
	}
	if o.Value("file") != h.Name {
		f, err := readText(env, hostnamePath)
		if err != nil {
			return err
		}
		if err := f.write(env, h.Name+"\n"); err != nil {
			return err
		}
	}
	return setHostname(env, o.Value("kernel"), h.Name)
}

func setHostname(env *Env, was, name string) error {
	if was == name {
		return nil
	}
	if err := env.Kernel.SetHostname(name); err != nil {
		return fmt.Errorf("setting the machine's name to %s: %w", name, err)
	}
	return nil
}

// Undo puts both back.
func (h Hostname) Undo(ctx context.Context, env *Env, previous Observed) error {
	o, err := h.Observe(ctx, env)
	if err != nil {
		return err
	}
	if err := setHostname(env, o.Value("kernel"), previous.Value("kernel")); err != nil {
		return err
	}
	text, was := previous.Values["text"]
	if !was {
		return env.Files.Remove(hostnamePath)
	}
	if now, is := o.Values["text"]; is && now == text {
		return nil
	}
	f, err := readText(env, hostnamePath)
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(previous.Value("mode"), 8, 32)
	if err != nil {
		return fmt.Errorf("what is remembered of %s has the mode %q", hostnamePath, previous.Value("mode"))
	}
	owner, group, _ := strings.Cut(previous.Value("owner"), ":")
	f.attributes = Attributes{fs.FileMode(mode), owner, group}
	return f.write(env, text)
}

package resource

import (
	"context"
	"slices"
	"strings"
)

const (
	fstabPath    = "/etc/fstab"
	fstabComment = "#kubewright# "
)

// FstabSwap is that no line of /etc/fstab turns swap on. Those that do become comments.
type FstabSwap struct{}

// ID is the same everywhere.
func (FstabSwap) ID() ID { return ID{"fstab", "swap"} }

// turnsSwapOn says whether a line of fstab(5) does.
func turnsSwapOn(line string) bool {
	fields := strings.Fields(line)
	return len(fields) >= 3 && fields[2] == "swap" && !strings.HasPrefix(fields[0], "#")
}

// withoutSwap makes comments of lines that turn swap on.
func withoutSwap(text string) string {
	var s strings.Builder
	for line := range strings.Lines(text) {
		if turnsSwapOn(line) {
			s.WriteString(fstabComment)
		}
		s.WriteString(line)
	}
	return s.String()
}

// withSwap is the reverse of withoutSwap.
func withSwap(text string) string {
	var s strings.Builder
	for line := range strings.Lines(text) {
		if bare, ok := strings.CutPrefix(line, fstabComment); ok && turnsSwapOn(bare) {
			line = bare
		}
		s.WriteString(line)
	}
	return s.String()
}

// Observe reads the file. A machine without one is as it shall be.
func (FstabSwap) Observe(_ context.Context, env *Env) (Observed, error) {
	f, err := readText(env, fstabPath)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present}
	if slices.ContainsFunc(strings.Split(f.text, "\n"), turnsSwapOn) {
		o.Values = map[string]string{"swap": "on"}
		f.observe(&o)
	}
	return o, nil
}

// Diff shows the lines that become comments.
func (FstabSwap) Diff(o Observed) []Change {
	if o.Value("swap") == "" {
		return nil
	}
	return []Change{{What: "content", Lines: DiffLines(o.Text, withoutSwap(o.Text))}}
}

// Apply makes comments of them. systemd forgets the units that it made of them.
func (FstabSwap) Apply(ctx context.Context, env *Env) error {
	f, err := readText(env, fstabPath)
	if err != nil || !f.present {
		return err
	}
	if err := f.write(env, withoutSwap(f.text)); err != nil {
		return err
	}
	return reloadSwaps(ctx, env)
}

// Undo makes lines of them again.
func (FstabSwap) Undo(ctx context.Context, env *Env, previous Observed) error {
	f, err := readText(env, fstabPath)
	if err != nil || !f.present || previous.Value("swap") == "" {
		return err
	}
	if err := f.write(env, withSwap(f.text)); err != nil {
		return err
	}
	return reloadSwaps(ctx, env)
}

// reloadSwaps has systemd make its swap units anew. In containers it makes none (systemd-fstab-generator(8)).
func reloadSwaps(ctx context.Context, env *Env) error {
	if env.Kernel.Shared() {
		return nil
	}
	return env.Systemd.DaemonReload(ctx)
}

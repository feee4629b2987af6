package resource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// SysctlFile is a file of sysctl.d(5): the values of kernel parameters after a boot. It says nothing of those that are to have at least a value and
// have more now: the kernel or another file gave it to them and will again, and a line here would lower it. Should that be gone after a boot, Sysctl
// finds the value too low and raises it, and from then on the line is here. So what a line says depends on nothing but the values that run.
type SysctlFile struct {
	Path string `json:"path"`
	// Header are the first lines, each a comment.
	Header     string       `json:"header,omitempty"`
	Parameters []SysctlLine `json:"parameters"`
}

// SysctlLine is a kernel parameter in a file.
type SysctlLine struct {
	Name    string `json:"name"` // as Sysctl has it
	Value   string `json:"value"`
	AtLeast bool   `json:"atLeast,omitempty"` // as Sysctl has it
	// Optional says that it is no fault at boot if it cannot be set.
	Optional bool `json:"optional,omitempty"`
	// Why is a sentence for the comment above it.
	Why string `json:"why,omitempty"`
}

// ID is its path.
func (s SysctlFile) ID() ID { return ID{"sysctl-file", s.Path} }

// Keeps is what the file held before.
func (s SysctlFile) Keeps() []string { return []string{s.Path} }

// hasMore is the value that names the parameters of which the machine has more.
const hasMore = "has more"

// file is what it is, without the parameters that the machine has more of.
func (s SysctlFile) file(more []string) File {
	var text strings.Builder
	text.WriteString(s.Header)
	for _, p := range s.Parameters {
		text.WriteString("\n")
		if p.Why != "" {
			text.WriteString("# " + p.Why + "\n")
		}
		switch {
		case slices.Contains(more, p.Name):
			fmt.Fprintf(&text, "# The host has more than %s = %s by itself.\n", p.Name, p.Value)
		case p.Optional:
			fmt.Fprintf(&text, "-%s = %s\n", p.Name, p.Value)
		default:
			fmt.Fprintf(&text, "%s = %s\n", p.Name, p.Value)
		}
	}
	return NewFile(s.Path, text.String())
}

// Observe looks at the file, and at the values of the parameters that are to have at least one.
func (s SysctlFile) Observe(ctx context.Context, env *Env) (Observed, error) {
	var more []string
	for _, p := range s.Parameters {
		if !p.AtLeast {
			continue
		}
		is, err := env.Kernel.Sysctl(p.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Observed{}, fmt.Errorf("reading the kernel parameter %s: %w", p.Name, err)
		}
		if normal(is) != normal(p.Value) && enough(is, p.Value) {
			more = append(more, p.Name)
		}
	}
	o, err := s.file(more).Observe(ctx, env)
	if err != nil {
		return o, err
	}
	if o.Values == nil {
		o.Values = map[string]string{}
	}
	o.Values[hasMore] = strings.Join(more, " ")
	return o, nil
}

// Diff is that of the file.
func (s SysctlFile) Diff(o Observed) []Change {
	return s.file(strings.Fields(o.Value(hasMore))).Diff(o)
}

// Apply writes it. Parameters are not set by it.
func (s SysctlFile) Apply(ctx context.Context, env *Env) error {
	o, err := s.Observe(ctx, env)
	if err != nil {
		return err
	}
	f := s.file(strings.Fields(o.Value(hasMore)))
	here := *env
	here.Blob = func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(f.Content)), nil
	}
	return f.Apply(ctx, &here)
}

// Undo puts back what was there.
func (s SysctlFile) Undo(_ context.Context, env *Env, previous Observed) error {
	return undoFile(env, s.Path, previous)
}

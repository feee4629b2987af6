package fake

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kubewright/kubewright/internal/resource"
)

// programs are those of the machine that were set.
type programs struct{ m *Machine }

func (p programs) Run(ctx context.Context, c resource.Command) (resource.Output, error) {
	if err := p.m.before("run %s", strings.Join(append([]string{c.Name}, c.Args...), " ")); err != nil {
		return resource.Output{}, err
	}
	p.m.mu.Lock()
	program := p.m.programs[c.Name]
	p.m.mu.Unlock()
	if program == nil {
		return resource.Output{}, fmt.Errorf("there is no program %s on this machine: %w", c.Name, fs.ErrNotExist)
	}
	if err := ctx.Err(); err != nil {
		return resource.Output{}, err
	}
	return program(ctx, c)
}

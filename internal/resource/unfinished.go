package resource

import (
	"context"
	"errors"
)

// unfinished is embedded by kinds that have no methods yet.
type unfinished struct{}

func (unfinished) Observe(context.Context, *Env) (Observed, error) { return Observed{}, errors.ErrUnsupported }

func (unfinished) Diff(Observed) []Change { return nil }

func (unfinished) Apply(context.Context, *Env) error { return errors.ErrUnsupported }

func (unfinished) Undo(context.Context, *Env, Observed) error { return errors.ErrUnsupported }

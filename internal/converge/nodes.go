package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/run"
)

// UnknownNodeError is that the cluster has no node of a name.
type UnknownNodeError struct {
	Name string
	// Known are the names of those that it has.
	Known []string
}

func (e *UnknownNodeError) Error() string { return "the cluster has no node " + e.Name }

// asking does something with the Kubernetes API from the first control plane whose API server is ready; if that dies, from the next.
func (s *Session) asking(ctx context.Context, do func(client *agent.Client, from v1alpha1.Host, api resource.API) error) error {
	hosts, missing := s.Facts()
	c := complete(s.o.Cluster, hosts)
	var failed []error
	for _, h := range answering(c, hosts) {
		client, err := s.fleet.connected(ctx, h.Name)
		if err == nil {
			err = do(client, h, resource.API{Servers: c.APIServers(h.Name)})
		}
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", h.Name, err))
		if _, lost := errors.AsType[*agent.LostError](err); !lost {
			break // another would be told the same
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return &kube.UnreachableError{Reasons: unready(c, hosts, missing)}
}

// Nodes are those that the API knows, in order of their names. It takes no locks.
func (s *Session) Nodes(ctx context.Context) ([]resource.NodeFound, error) {
	var nodes []resource.NodeFound
	err := s.asking(ctx, func(client *agent.Client, _ v1alpha1.Host, api resource.API) error {
		report := resource.NodesReport{API: api}
		found, err := client.Look(ctx, []resource.Report{report})
		if err != nil {
			return err
		}
		if why := found.Get(report.ID(), &nodes); why != "" {
			return errors.New(why)
		}
		return nil
	})
	return nodes, err
}

// Drain cordons a node for whoever asks for it, and has its Pods move to others, for so long at most. It takes the locks. ask sees what becomes of them before.
func (s *Session) Drain(ctx context.Context, node string, timeout time.Duration, ask func(*plan.Plan) error) error {
	return s.ended(ctx, s.onNode(ctx, node, "drain "+node, func(api resource.API) []resource.Resource {
		// Cordoned first, by whom it was not: the cordon is a person's, and stays when a plan is applied.
		return []resource.Resource{resource.Cordon{API: api, Node: node, Cordoned: true}, resource.Drain{API: api, Node: node, Timeout: timeout}}
	}, ask))
}

// Cordon has no Pods be put on a node, or has them be again. It takes the locks. ask sees whether that changes anything.
func (s *Session) Cordon(ctx context.Context, node string, cordoned bool, ask func(*plan.Plan) error) error {
	name := "cordon "
	if !cordoned {
		name = "uncordon "
	}
	return s.ended(ctx, s.onNode(ctx, node, name+node, func(api resource.API) []resource.Resource {
		return []resource.Resource{resource.Cordon{API: api, Node: node, Cordoned: cordoned}}
	}, ask))
}

// onNode makes resources about a node true by a step of one control plane whose API server is ready.
func (s *Session) onNode(ctx context.Context, node, name string, resources func(resource.API) []resource.Resource, ask func(*plan.Plan) error) error {
	known, err := s.Nodes(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(known, func(n resource.NodeFound) bool { return n.Name == node }) {
		unknown := &UnknownNodeError{Name: node}
		for _, n := range known {
			unknown.Known = append(unknown.Known, n.Name)
		}
		return unknown
	}
	if err := s.lockAndLook(ctx); err != nil {
		return err
	}
	var p *plan.Plan
	if err := s.asking(ctx, func(_ *agent.Client, from v1alpha1.Host, api resource.API) error {
		p, err = s.planSteps(ctx, []plan.Step{{StepID: plan.StepID{Host: from.Name, Name: name}, Resources: resources(api)}})
		return err
	}); err != nil {
		return err
	}
	if err := ask(p); err != nil || p.Empty() {
		return err
	}
	return s.runOnce(ctx, p, ctx.Done())
}

// runOnce runs a plan, and fails with the first of its steps that does.
func (s *Session) runOnce(ctx context.Context, p *plan.Plan, interrupt <-chan struct{}) error {
	s.fleet.event(event.Event{Kind: event.RoundStarted, Total: len(p.Steps)})
	o := s.o.Run
	o.Host, o.Events, o.Interrupt = s.fleet.work, s.o.Events, interrupt
	result, err := run.Run(context.WithoutCancel(ctx), p, o)
	switch {
	case err != nil:
		return err
	case result.Interrupted:
		return ErrInterrupted
	case len(result.Failed) > 0:
		return fmt.Errorf("%s: %w", result.Failed[0].Step.Host, result.Failed[0].Err)
	case len(result.Skipped) > 0:
		return fmt.Errorf("%s: %s: not begun: %w", result.Skipped[0].Step.Host, result.Skipped[0].Step.Name, result.Skipped[0].Err)
	}
	return nil
}

// planSteps is the plan of some steps, which are not all that their hosts shall have: what else is there is none of its business.
func (s *Session) planSteps(ctx context.Context, steps []plan.Step) (*plan.Plan, error) {
	s.blobs.take(steps)
	in := plan.Input{Steps: steps, Found: map[string]plan.Difference{}}
	byHost := map[string][]plan.Step{}
	for _, step := range steps {
		if byHost[step.Host] == nil {
			in.Hosts = append(in.Hosts, step.Host)
		}
		byHost[step.Host] = append(byHost[step.Host], step)
	}
	var comparison plan.Comparison
	for _, host := range in.Hosts {
		client, err := s.fleet.connected(ctx, host)
		if err != nil {
			return nil, err
		}
		o, err := client.Observe(ctx, byHost[host])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", host, err)
		}
		o.Removals = nil
		in.Found[host] = comparison.Compare(byHost[host], o)
	}
	p, err := plan.Make(in)
	if err != nil {
		return nil, err
	}
	for _, c := range p.Steps {
		for _, r := range c.Unknown {
			return nil, fmt.Errorf("%s: %s: %w: %s", c.Host, r.Resource, run.ErrUnknown, r.Text)
		}
	}
	return p, nil
}

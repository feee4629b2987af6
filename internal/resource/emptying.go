package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/internal/kube"
)

const (
	// drainLook is between looking what is left on a node and looking again, and evictAgain between asking to evict a Pod and asking again, as kubectl does (EvictErrorRetryDelay in
	// pkg/cmd/drain of k8s.io/kubectl).
	drainLook  = time.Second
	evictAgain = 5 * time.Second
	// evictAtOnce is how many Pods are asked to leave at once. Each takes the API some milliseconds, or as long as a webhook does.
	evictAtOnce = 4
	// maxLeft is how many Pods are named that did not leave in time.
	maxLeft = 20
)

// emptying is a node that is being emptied.
type emptying struct {
	Drain
	asked map[types.UID]asked
	// first are the Pods that were there at first; those that come later do not care that it is cordoned.
	first map[types.UID]bool
	left  []leftPod
	// unseen is why it could not be found out last what is left.
	unseen error
}

// asked is a Pod that was asked to leave.
type asked struct {
	at      time.Time
	refused error
}

// leftPod is a Pod that is still there.
type leftPod struct{ name, why, remedy string }

// wait has Pods leave until none is left that has to.
func (e *emptying) wait(ctx context.Context, env *Env) error {
	limited, cancel := context.WithTimeout(ctx, e.timeout())
	defer cancel()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	said := ""
	for {
		if err := e.look(limited, env); err == nil {
			e.unseen = nil
			if len(e.left) == 0 {
				return nil
			}
		} else if limited.Err() == nil || e.left == nil && e.unseen == nil {
			e.unseen = err // API servers come and go, too
		}
		if now := e.String(); now != said && limited.Err() == nil {
			said = now
			env.progress(said)
		}
		select {
		case <-tick.C:
		case <-env.Interrupted:
			return fmt.Errorf("not waited for any longer: %s: %w", e, context.Canceled)
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return e.late()
		}
	}
}

// look finds what is left on the node, and asks to leave whom it is time to ask.
func (e *emptying) look(ctx context.Context, env *Env) error {
	c, err := e.API.open(ctx, env)
	if err != nil {
		return err
	}
	node, err := c.Get(ctx, nodeRef(e.Node))
	if kube.IsNotFound(err) {
		e.left = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the node %s: %w", e.Node, err)
	}
	if e.Dead && silence(node) != "" {
		e.left = nil
		return nil
	}
	pods, budgets, err := e.pods(ctx, c)
	if err != nil {
		return err
	}
	if e.ask(ctx, c, pods, budgets) {
		if ctx.Err() != nil {
			return ctx.Err() // what was asked for then was not refused
		}
		if pods, budgets, err = e.pods(ctx, c); err != nil { // many go at once, and a budget that had room for one has none now
			return err
		}
	}
	silent := silence(node)
	e.left = nil
	for _, pod := range pods {
		l := leftPod{name: podID(pod)}
		if pod.GetDeletionTimestamp() != nil {
			l.why, l.remedy = ending(pod, silent, env.Kernel.Now())
		} else if last, before := e.asked[pod.GetUID()]; before {
			l.why, l.remedy = refusal(last.refused, keeping(pod, budgets))
		} else {
			l.why = "came just now"
		}
		if !e.first[pod.GetUID()] && ignoresCordons(pod) {
			l.why += "; it was put there although the node is cordoned, which it tolerates"
			l.remedy = "What tolerates node.kubernetes.io/unschedulable is put on the node again and again: take that toleration from it, or scale it down meanwhile"
		}
		e.left = append(e.left, l)
	}
	return nil
}

// pods are those that have to leave, and budgets of those that are not being deleted yet.
func (e *emptying) pods(ctx context.Context, c *kube.Client) (pods []*unstructured.Unstructured, budgets []budget, err error) {
	all, err := c.ListOn(ctx, e.Node)
	if err != nil {
		return nil, nil, fmt.Errorf("listing the Pods on %s: %w", e.Node, err)
	}
	pods = leaving(all)
	if slices.ContainsFunc(pods, func(pod *unstructured.Unstructured) bool { return pod.GetDeletionTimestamp() == nil }) {
		budgets, err = allBudgets(ctx, c)
	}
	return pods, budgets, err
}

// ask asks Pods to leave, and says whether it asked any: those that were not asked yet, those that may have been refused long enough ago, and those whose budget lets one go by now.
func (e *emptying) ask(ctx context.Context, c *kube.Client, pods []*unstructured.Unstructured, budgets []budget) bool {
	if e.first == nil {
		e.first, e.asked = map[types.UID]bool{}, map[types.UID]asked{}
		for _, pod := range pods {
			e.first[pod.GetUID()] = true
		}
	}
	var due []*unstructured.Unstructured
	for _, pod := range pods {
		last, before := e.asked[pod.GetUID()]
		switch {
		case pod.GetDeletionTimestamp() != nil:
		case !before, time.Since(last.at) >= evictAgain, kube.BudgetCause(last.refused) != "" && len(keeping(pod, budgets)) == 0:
			due = append(due, pod)
		}
	}
	answers := make([]error, len(due))
	var asking errgroup.Group
	asking.SetLimit(evictAtOnce)
	for i, pod := range due {
		asking.Go(func() error {
			answers[i] = c.Evict(ctx, pod)
			return nil
		})
	}
	_ = asking.Wait()
	for i, pod := range due {
		e.asked[pod.GetUID()] = asked{time.Now(), answers[i]}
	}
	return len(due) > 0
}

// refusal says why a Pod was not let go, and what to do; its budgets are those that keep it now.
func refusal(refused error, kept []budget) (why, remedy string) {
	const more = "A budget lets a Pod go when more of its Pods are healthy than it needs: give them room on other nodes, more replicas, or it a lower number"
	switch cause := kube.BudgetCause(refused); {
	case refused == nil:
		return "was told to leave", ""
	case len(kept) > 1:
		var names []string
		for _, b := range kept {
			names = append(names, b.id())
		}
		return "has several PodDisruptionBudgets, with which no Pod can be evicted: " + strings.Join(names, ", "), "Delete all but one of several budgets of a Pod"
	case len(kept) == 1:
		return fmt.Sprintf("the PodDisruptionBudget %s %s", kept[0].id(), kept[0].says()), more
	case cause != "":
		return cause, more
	}
	return refused.Error(), ""
}

// String says what is left, in one line that changes only if that does.
func (e *emptying) String() string {
	if e.unseen != nil {
		return e.unseen.Error()
	}
	var all []string
	for _, l := range e.left[:min(len(e.left), 3)] {
		all = append(all, l.name+": "+l.why)
	}
	if more := len(e.left) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d %s on %s: %s", len(e.left), plural(len(e.left), "Pod is left", "Pods are left"), e.Node, strings.Join(all, "; "))
}

// late is the error that not all have left in time: a line for each, and what to do.
func (e *emptying) late() error {
	again := fmt.Sprintf("The node stays cordoned: run it again to go on, or \"kubewright node uncordon %s\" to give it up", e.Node)
	if len(e.left) == 0 { // it was never seen
		return fmt.Errorf("within %s it could not be found out which Pods are left on %s: %w. %s", e.timeout(), e.Node, e.unseen, again)
	}
	lines := []string{fmt.Sprintf("after %s %d %s still on %s:", e.timeout(), len(e.left), plural(len(e.left), "Pod is", "Pods are"), e.Node)}
	var remedies []string
	for i, l := range e.left {
		if more := len(e.left) - i; i >= maxLeft && more > 1 {
			lines = append(lines, fmt.Sprintf("and %d more", more))
			break
		}
		lines = append(lines, l.name+": "+l.why)
		if l.remedy != "" && !slices.Contains(remedies, l.remedy) {
			remedies = append(remedies, l.remedy)
		}
	}
	if e.unseen != nil {
		lines = append(lines, "That is how it was seen last; by now: "+e.unseen.Error())
	}
	for _, r := range append(remedies, again) {
		lines = append(lines, r+".")
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n    "))
}

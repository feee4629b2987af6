package resource

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/internal/kube"
)

// Drain has a node carry nothing that could run elsewhere: it is cordoned, so that no Pods are put on it, and those on it are evicted, as their PodDisruptionBudgets allow; their controllers
// make them anew on other nodes. Pods of DaemonSets, static Pods and those that have ended stay. It is for a node that leaves: the cordon that it makes bears LeavingAnnotation, by
// which Node takes it away again if the node stays after all. A node that was cordoned before it leaves as it is.
type Drain struct {
	API  API    `json:"api"`
	Node string `json:"node"`
	// Timeout is how long Pods may take to leave; 10 minutes if 0.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Dead says that the machine does not answer elsewhere. If its kubelet is silent, too, Pods are not waited for: nobody will say that they have ended.
	Dead bool `json:"dead,omitempty"`
}

// DrainTime is how long Pods may take to leave a node unless something else is said.
const DrainTime = 10 * time.Minute

// ID is the node's name.
func (d Drain) ID() ID { return ID{"drain", d.Node} }

// OfCluster says that it is the cluster's.
func (d Drain) OfCluster() {}

func (d Drain) timeout() time.Duration { return cmp.Or(d.Timeout, DrainTime) }

// What is known of a Pod that has to leave.
const (
	podAlone    = "no controller"   // it is made again nowhere
	podEmptyDir = "emptyDir"        // it keeps data on the node
	podBudgets  = "several budgets" // it cannot be evicted
)

// Observe finds whether the node is "cordoned" (yes or no) and its kubelet "silent" (what is known of that), the Pods that have to leave ("pod NAMESPACE/NAME", what is known of each, with commas between), and the
// PodDisruptionBudgets that let none of theirs go now ("budget NAMESPACE/NAME", what they need and have). A node that is not there, or dead, is Absent.
func (d Drain) Observe(ctx context.Context, env *Env) (Observed, error) {
	c, err := d.API.open(ctx, env)
	if d.API.unmade(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	node, err := c.Get(ctx, nodeRef(d.Node))
	if kube.IsNotFound(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, passing(fmt.Errorf("reading the node %s: %w", d.Node, err))
	}
	if d.Dead && silence(node) != "" {
		return Observed{State: Absent}, nil
	}
	pods, err := c.ListOn(ctx, d.Node)
	if err != nil {
		return Observed{}, passing(fmt.Errorf("listing the Pods on %s: %w", d.Node, err))
	}
	budgets, err := allBudgets(ctx, c)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{"cordoned": yesNo(isCordoned(node))}}
	if why := silence(node); why != "" {
		o.Values["silent"] = why
	}
	for _, pod := range leaving(pods) {
		var known []string
		if metav1.GetControllerOfNoCopy(pod) == nil {
			known = append(known, podAlone)
		}
		if hasEmptyDir(pod) {
			known = append(known, podEmptyDir)
		}
		switch kept := keeping(pod, budgets); len(kept) {
		case 0:
		case 1:
			o.Values["budget "+kept[0].id()] = kept[0].says()
		default:
			known = append(known, podBudgets)
		}
		o.Values["pod "+podID(pod)] = strings.Join(known, ",")
	}
	return o, nil
}

// Diff says what becomes of the Pods, and what they will have to wait for.
func (d Drain) Diff(o Observed) []Change {
	if o.State == Absent {
		return nil
	}
	var changes []Change
	if o.Value("cordoned") == "no" {
		changes = append(changes, Change{What: "cordoned", Old: "no", New: "yes"})
	}
	var move, alone, emptyDir, several []string
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		pod, ok := strings.CutPrefix(name, "pod ")
		if !ok {
			continue
		}
		known := listed(o.Value(name))
		if slices.Contains(known, podAlone) {
			alone = append(alone, pod)
		} else {
			move = append(move, pod)
			if slices.Contains(known, podEmptyDir) {
				emptyDir = append(emptyDir, pod)
			}
		}
		if slices.Contains(known, podBudgets) {
			several = append(several, pod)
		}
	}
	if len(move) > 0 {
		c := Change{What: "Pods", Old: fmt.Sprintf("%d (%s)", len(move), someOf(move)), New: "moved to other nodes", Disturbs: true}
		if why := o.Value("silent"); why != "" {
			c.Why = "but nobody will say that they have ended, as its kubelet is silent: " + why
		}
		changes = append(changes, c)
	}
	for _, pod := range alone {
		changes = append(changes, Change{What: "Pod " + pod, Old: "present", New: "lost: it has no controller", Disturbs: true})
	}
	if len(emptyDir) > 0 {
		changes = append(changes, Change{What: "data in emptyDir volumes", Old: "of " + someOf(emptyDir), New: "lost", Disturbs: true})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		if b, ok := strings.CutPrefix(name, "budget "); ok {
			changes = append(changes, Change{What: "PodDisruptionBudget " + b, Old: "lets no Pod go now: it " + o.Value(name), New: fmt.Sprintf("waited for, %s at most", d.timeout()), Disturbs: true})
		}
	}
	for _, pod := range several {
		changes = append(changes, Change{What: "Pod " + pod, Old: "has several PodDisruptionBudgets", New: "cannot be evicted before it has one", Disturbs: true})
	}
	return changes
}

// Apply cordons the node, evicts the Pods, and waits until they are gone.
func (d Drain) Apply(ctx context.Context, env *Env) error {
	c, err := d.API.open(ctx, env)
	if err != nil {
		return err
	}
	node, err := c.Get(ctx, nodeRef(d.Node))
	if kube.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return passing(fmt.Errorf("reading the node %s: %w", d.Node, err))
	}
	if err := changeNode(ctx, c, node, cordonToLeave); err != nil {
		return err
	}
	return (&emptying{Drain: d}).wait(ctx, env)
}

// Undo leaves it: what left comes back to no node by being told so.
func (d Drain) Undo(context.Context, *Env, Observed) error { return nil }

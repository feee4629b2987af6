package resource

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// NodeAbsent has a machine be no node of the cluster: neither its Node is there, nor Pods that were on it, nor volumes that were attached to it. It is for a machine that is gone for good, or
// whose kubelet will not run again: nobody is there to say that what ran on it has ended. As long as a kubelet says that it is there and has Pods that would be made anew elsewhere,
// it fails.
//
// The order is that in which nothing comes back, and nothing runs twice. The Node goes first: while it is there, the DaemonSet controller makes a Pod anew on it for each of its own that goes.
// Then the Pods: a StatefulSet makes one anew only when the one of that name is gone. The attachments of volumes come last: while a Pod is there that uses a volume, the attach/detach controller
// wants it attached (pkg/controller/volume/attachdetach of Kubernetes v1.37), and would do it again; and no volume is taken from a Pod that somebody may believe in. If it is cut off
// in between, Kubernetes does the rest by itself, more slowly: Pods of nodes that are not there go after a minute (pkg/controller/podgc), volumes that a lost node had mounted after six.
type NodeAbsent struct {
	API  API    `json:"api"`
	Name string `json:"name"`
}

const (
	// absentTime is how long it may take until all of it is gone. It takes less than a second, unless something holds the Node by a finalizer.
	absentTime = time.Minute
	// absentLook is between looking and looking again.
	absentLook = 500 * time.Millisecond
)

// ID is the name.
func (n NodeAbsent) ID() ID { return ID{"node-absent", n.Name} }

// OfCluster says that it is the cluster's.
func (n NodeAbsent) OfCluster() {}

// Observe finds whether the node is "registered" (yes or no) and, if so, "ready" as its kubelet said last, and how many "pods" and "volumes" are left of it. It is Absent if none of this is there.
func (n NodeAbsent) Observe(ctx context.Context, env *Env) (Observed, error) {
	c, err := n.API.open(ctx, env)
	if n.API.unmade(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	l, err := n.look(ctx, c)
	if err != nil {
		return Observed{}, err
	}
	if l.node == nil && len(l.pods)+len(l.volumes) == 0 {
		return Observed{State: Absent}, nil
	}
	o := Observed{State: Present, Values: map[string]string{"registered": yesNo(l.node != nil), "pods": fmt.Sprint(len(l.pods)), "volumes": fmt.Sprint(len(l.volumes))}}
	if l.node != nil {
		ready, _ := nodeReady(l.node)
		o.Values["ready"] = yesNo(ready)
	}
	return o, nil
}

// Diff says that the node goes, or what of one that is gone.
func (n NodeAbsent) Diff(o Observed) []Change {
	if o.State == Absent {
		return nil
	}
	if o.Value("registered") == "yes" {
		return []Change{{What: "registered", Old: "yes", New: "no", Disturbs: true}}
	}
	var changes []Change
	for _, name := range []string{"pods", "volumes"} {
		if left := o.Value(name); left != "0" {
			changes = append(changes, Change{What: name + " of a node that is gone", Old: left, New: "none"})
		}
	}
	return changes
}

// remains are what is left of a node.
type remains struct {
	node          *unstructured.Unstructured // nil if it is not there
	pods, volumes []*unstructured.Unstructured
}

// look finds what is left. What was deleted and is held by others is their business: Pods by finalizers, attachments by the driver that detaches.
func (n NodeAbsent) look(ctx context.Context, c *kube.Client) (remains, error) {
	var l remains
	node, err := c.Get(ctx, nodeRef(n.Name))
	switch {
	case err == nil:
		l.node = node
	case !kube.IsNotFound(err):
		return l, passing(fmt.Errorf("reading the node %s: %w", n.Name, err))
	}
	pods, err := c.ListOn(ctx, n.Name)
	if err != nil {
		return l, passing(fmt.Errorf("listing the Pods on %s: %w", n.Name, err))
	}
	for i := range pods {
		if grace := pods[i].GetDeletionGracePeriodSeconds(); grace == nil || *grace > 0 || len(pods[i].GetFinalizers()) == 0 {
			l.pods = append(l.pods, &pods[i])
		}
	}
	attached, err := c.List(ctx, kube.Ref{APIVersion: "storage.k8s.io/v1", Kind: "VolumeAttachment"}, "")
	if err != nil {
		return l, passing(fmt.Errorf("listing the volumes attached to %s: %w", n.Name, err))
	}
	for i := range attached {
		if to, _, _ := unstructured.NestedString(attached[i].Object, "spec", "nodeName"); to == n.Name && attached[i].GetDeletionTimestamp() == nil {
			l.volumes = append(l.volumes, &attached[i])
		}
	}
	return l, nil
}

// Apply deletes it all, one after the other.
func (n NodeAbsent) Apply(ctx context.Context, env *Env) error {
	c, err := n.API.open(ctx, env)
	if err != nil {
		return err
	}
	if err := n.mayGo(ctx, env, c); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, absentTime)
	defer cancel()
	tick := time.NewTicker(absentLook)
	defer tick.Stop()
	said := ""
	for {
		left, err := n.remove(limited, c)
		switch {
		case err == nil && left == "":
			return nil
		case err != nil && limited.Err() == nil:
			return err
		case err == nil && left != said:
			said = left
			env.progress(said)
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("after %s %s", absentTime, cmp.Or(said, "nothing is known of the node "+n.Name))
		}
	}
}

// remove deletes what is left, as far as it is its turn, and says what is waited for.
func (n NodeAbsent) remove(ctx context.Context, c *kube.Client) (left string, err error) {
	l, err := n.look(ctx, c)
	if err != nil {
		return "", err
	}
	if l.node != nil && l.node.GetDeletionTimestamp() == nil {
		if err := c.Delete(ctx, nodeRef(n.Name)); err != nil {
			return "", passing(fmt.Errorf("deleting the node %s: %w", n.Name, err))
		}
		if l, err = n.look(ctx, c); err != nil {
			return "", err
		}
	}
	switch {
	case l.node != nil && l.node.GetDeletionTimestamp() == nil:
		return fmt.Sprintf("the node %s is there again: its kubelet has to be stopped first", n.Name), nil
	case l.node != nil:
		return fmt.Sprintf("the node %s is deleted, but kept by %s: who set that has to do its work, or it is taken away by hand: kubectl edit node %s", n.Name, finalizersOf(l.node), n.Name), nil
	}
	for _, pod := range l.pods {
		if err := c.DeleteNow(ctx, pod); err != nil {
			return "", passing(fmt.Errorf("deleting the Pod %s of the node %s, which is gone: %w", podID(pod), n.Name, err))
		}
	}
	if len(l.pods) > 0 {
		if l, err = n.look(ctx, c); err != nil {
			return "", err
		}
	}
	if len(l.pods) > 0 {
		return fmt.Sprintf("there are still Pods of the node %s, such as %s", n.Name, podID(l.pods[0])), nil
	}
	for _, v := range l.volumes {
		if err := c.Delete(ctx, kube.RefOf(v)); err != nil {
			return "", passing(fmt.Errorf("detaching a volume from the node %s, which is gone (%s): %w", n.Name, kube.RefOf(v), err))
		}
	}
	return "", nil
}

// mayGo fails if Pods would run twice: their kubelet runs, and they would be made anew elsewhere. That a node is ready is said of it for a while after its machine is gone
// (--node-monitor-grace-period, 50 s); whether its kubelet speaks shows its lease, which it renews four times in the time that it is for (pkg/kubelet of Kubernetes v1.37).
func (n NodeAbsent) mayGo(ctx context.Context, env *Env, c *kube.Client) error {
	node, err := c.Get(ctx, nodeRef(n.Name))
	if kube.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return passing(fmt.Errorf("reading the node %s: %w", n.Name, err))
	}
	pods, err := c.ListOn(ctx, n.Name)
	if err != nil {
		return passing(fmt.Errorf("listing the Pods on %s: %w", n.Name, err))
	}
	run := leaving(pods)
	if ready, _ := nodeReady(node); !ready || len(run) == 0 {
		return nil
	}
	first, duration, err := n.renewed(ctx, c)
	if err != nil || first == "" {
		return err
	}
	env.progress(fmt.Sprintf("the kubelet of %s was well a moment ago; looking whether it runs still", n.Name))
	timer := time.NewTimer(duration / 2)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if now, _, err := n.renewed(ctx, c); err != nil || now == first {
		return err
	}
	return fmt.Errorf("the kubelet of %s runs, and with it %d %s that would be made anew elsewhere, such as %s: they would run twice. Drain the node (kubewright node drain %s), or stop its kubelet, and run it again",
		n.Name, len(run), plural(len(run), "Pod", "Pods"), podID(run[0]), n.Name)
}

// renewed is when the kubelet renewed its lease last, as it says, and what time the lease is for; empty if there is none.
func (n NodeAbsent) renewed(ctx context.Context, c *kube.Client) (at string, duration time.Duration, err error) {
	lease, err := c.Get(ctx, kube.Ref{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: "kube-node-lease", Name: n.Name})
	if kube.IsNotFound(err) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, passing(fmt.Errorf("reading the lease of the node %s: %w", n.Name, err))
	}
	at, _, _ = unstructured.NestedString(lease.Object, "spec", "renewTime")
	seconds, _, _ := unstructured.NestedInt64(lease.Object, "spec", "leaseDurationSeconds")
	return at, time.Duration(seconds) * time.Second, nil
}

// Undo leaves it: a kubelet registers its node by itself.
func (n NodeAbsent) Undo(context.Context, *Env, Observed) error { return nil }

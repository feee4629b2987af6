package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// resync is how often everything is looked at again, should anything have been missed.
const resync = 5 * time.Minute

// approver looks at each request when it, or the inventory, changes.
type approver struct {
	client    client
	log       *slog.Logger
	requests  cache.SharedIndexInformer
	inventory cache.SharedIndexInformer
	queue     workqueue.TypedRateLimitingInterface[string] // names of requests
	worker    worker
}

// worker is what only the goroutine that works on the queue touches.
type worker struct {
	version string // of the ConfigMap that nodes were read from
	nodes   inventory
	invalid error            // why they could not be read
	said    map[string]known // what was said of requests, by name
}

// known is a request, and why it was left as it is.
type known struct {
	uid types.UID
	why string
}

func newApprover(config *rest.Config, log *slog.Logger) (*approver, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	a := &approver{
		client: c, log: log, worker: worker{said: map[string]known{}},
		requests:  cache.NewSharedIndexInformer(c.requests(), &certificatesv1.CertificateSigningRequest{}, resync, nil),
		inventory: cache.NewSharedIndexInformer(c.inventory(), &corev1.ConfigMap{}, resync, nil),
		queue:     workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	add := func(o any) {
		if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
			a.queue.Add(name)
		}
	}
	if _, err := a.requests.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }, DeleteFunc: add}); err != nil {
		return nil, err
	}
	all := func() {
		for _, name := range a.requests.GetStore().ListKeys() {
			a.queue.Add(name)
		}
	}
	_, err = a.inventory.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { all() }, UpdateFunc: func(any, any) { all() }})
	return a, err
}

// synced says whether all requests and the inventory have been read once.
func (a *approver) synced() bool { return a.requests.HasSynced() && a.inventory.HasSynced() }

// run works until ctx ends.
func (a *approver) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { a.requests.RunWithContext(ctx) })
	wg.Go(func() { a.inventory.RunWithContext(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		a.queue.ShutDown()
	})
	if !cache.WaitForCacheSync(ctx.Done(), a.synced) {
		return
	}
	for {
		name, end := a.queue.Get()
		if end {
			return
		}
		if err := a.look(ctx, name); err != nil && ctx.Err() == nil {
			a.log.Error("cannot approve a request; trying again", "request", name, "error", err.Error())
			a.queue.AddRateLimited(name)
		} else {
			a.queue.Forget(name)
		}
		a.queue.Done(name)
	}
}

// look looks at a request, and approves it if it may.
func (a *approver) look(ctx context.Context, name string) error {
	o, exists, err := a.requests.GetStore().GetByKey(name)
	if err != nil {
		return err
	}
	csr, _ := o.(*certificatesv1.CertificateSigningRequest)
	if !exists || len(csr.Status.Conditions) > 0 { // gone, or approved, denied or failed
		delete(a.worker.said, name)
		return nil
	}
	a.readInventory()
	why := a.worker.invalid
	if why == nil {
		why = refuse(csr.Spec, a.worker.nodes)
	}
	if why != nil {
		if now := (known{csr.UID, why.Error()}); a.worker.said[name] != now {
			a.worker.said[name] = now
			a.log.Warn("left a request as it is: look at it, and approve it with kubectl if it is right", "request", name, "requester", csr.Spec.Username, "why", now.why)
		}
		return nil
	}
	approved, err := a.client.approve(ctx, csr)
	if approved {
		a.log.Info("approved a request", "request", name, "requester", csr.Spec.Username)
	}
	return err
}

// readInventory reads the inventory if it has changed.
func (a *approver) readInventory() {
	o, exists, err := a.inventory.GetStore().GetByKey(inventoryNamespace + "/" + inventoryName)
	if err != nil || !exists {
		a.worker.version, a.worker.nodes = "", nil
		a.worker.invalid = fmt.Errorf("there is no ConfigMap %s/%s: kubewright apply makes it", inventoryNamespace, inventoryName)
		return
	}
	m := o.(*corev1.ConfigMap)
	if m.ResourceVersion == a.worker.version {
		return
	}
	a.worker.version = m.ResourceVersion
	if a.worker.nodes, err = parseInventory(m.Data[inventoryKey]); err != nil {
		err = fmt.Errorf("%s of ConfigMap %s/%s is damaged (%w): kubewright apply repairs it", inventoryKey, inventoryNamespace, inventoryName, err)
	}
	a.worker.invalid = err
}

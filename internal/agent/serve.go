package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Dir is where Kubewright keeps what a machine has to remember.
const Dir = resource.Dir

// ServeOptions are the machine that an agent works on.
type ServeOptions struct {
	// Env is the machine; its Kube, Blob, Kept, Interrupted and Progress are the agent's business.
	Env resource.Env
	// Facts says what the machine is.
	Facts func(ctx context.Context, env *resource.Env) (facts.Host, error)
	// Lock is the machine's lock.
	Lock Locker
}

// Locker is the lock of a machine. Whoever holds it when its process ends holds it no more.
type Locker interface {
	// TryLock takes it, or says who has it.
	TryLock(h Holder) (release func(), busy *Holder, err error)
}

// Grace is how long a resource in hand may go on when nobody is there to hear of it.
const Grace = 5 * time.Minute

// Serve is the agent: it answers over a stream until that ends, or until its client says nothing for BeatTimeout. What is in hand then is
// finished, and nothing else begun.
func Serve(ctx context.Context, stream io.ReadWriteCloser, o ServeOptions) error {
	// What is in hand outlives the connection, but not the context.
	a := &agent{options: o, needs: map[int]*need{}, asked: map[int]chan given{}, beat: make(chan struct{}, 1), owned: &ownedList{files: o.Env.Files}}
	a.quit, a.quitting = context.WithCancelCause(ctx)
	defer a.quitting(nil)
	a.begins, a.finish = context.WithCancel(a.quit)
	defer a.finish()
	work, cut := context.WithCancel(ctx)
	defer cut()
	a.work = work
	api := &kube.Pool{}
	defer api.Close()
	a.env = func() *resource.Env {
		env := a.options.Env
		env.Kube = api
		env.Interrupted = a.begins.Done()
		env.Kept = a.owned.kept
		env.Blob = a.blob
		env.Sign = func(ctx context.Context, of resource.ID, request []byte) ([]byte, error) {
			return a.ask(ctx, ask{Of: of, Request: request})
		}
		env.Secret = func(ctx context.Context, of resource.ID, name string) ([]byte, error) {
			return a.ask(ctx, ask{Of: of, Secret: name})
		}
		return &env
	}
	c := newConn(stream)
	l := listen(c)
	s := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.ReadBufferSize(0), grpc.WriteBufferSize(4<<10))
	s.RegisterService(description(), server(a))
	var all sync.WaitGroup
	all.Go(func() { _ = s.Serve(l) })
	all.Go(func() {
		select {
		case <-c.closed:
			a.quitting(errors.New("the connection ended"))
		case <-a.quit.Done():
		}
	})
	all.Go(a.listenForBeats)
	<-a.quit.Done()
	a.refuse()
	// Calls that wait for something end by themselves now; one that has something in hand may finish it.
	finished := make(chan struct{})
	all.Go(func() {
		defer close(finished)
		a.busy.Wait()
	})
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
		cut()
	case <-ctx.Done():
		cut()
	}
	<-finished
	s.Stop()
	_ = l.Close()
	_ = c.Close()
	all.Wait()
	if a.reset {
		// The lock is the last to go, and while it is held: whoever waits for it finds it gone (see FileLock).
		_ = o.Env.Files.RemoveAll(filepath.Dir(lockFile)) // it goes with the next restart, too
	}
	a.unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

type agent struct {
	options ServeOptions
	env     func() *resource.Env
	quit    context.Context // ends when nothing new may begin
	// quitting ends it, with why.
	quitting context.CancelCauseFunc
	work     context.Context // of what is in hand
	busy     sync.WaitGroup  // calls that have something in hand
	beat     chan struct{}
	owned    *ownedList
	begins   context.Context // ends when no further resource is to begin
	finish   context.CancelFunc

	mu      sync.Mutex
	down    chan sessionDown // to the client; nil before its session
	needs   map[int]*need
	asked   map[int]chan given
	number  int
	release func() // of the lock; nil while it is not held
	closing bool   // no further call is to begin something
	reset   bool   // everything was taken away
}

// refuse has no call begin anything from now on: after it, busy only falls.
func (a *agent) refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closing = true
}

func (a *agent) listenForBeats() {
	timer := time.NewTimer(BeatTimeout)
	defer timer.Stop()
	for {
		select {
		case <-a.quit.Done():
			return
		case <-a.beat:
			timer.Reset(BeatTimeout)
		case <-timer.C:
			a.quitting(fmt.Errorf("nothing was heard for %s", BeatTimeout))
			return
		}
	}
}

func (a *agent) unlock() {
	a.mu.Lock()
	release := a.release
	a.release = nil
	a.mu.Unlock()
	if release != nil {
		release()
	}
}

// explainError is an error as it travels; Client.explain is the reverse.
func explainError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, &resource.BlockedError{}):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.As(err, &resource.TransientError{}):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	}
	return status.Error(codes.Unknown, err.Error())
}

func (a *agent) hello(ctx context.Context, _ *helloRequest) (*helloReply, error) {
	f, err := a.options.Facts(ctx, a.env())
	return &helloReply{f}, explainError(err)
}

// session hears the client, answers about the lock and asks for blobs, until either ends.
func (a *agent) session(s grpc.ServerStream) error {
	down := make(chan sessionDown)
	a.mu.Lock()
	if a.down != nil {
		a.mu.Unlock()
		return status.Error(codes.AlreadyExists, "there is a session already")
	}
	a.down = down
	a.mu.Unlock()
	ctx, cancel := context.WithCancel(s.Context())
	var speaking sync.WaitGroup
	speaking.Go(func() {
		for {
			select {
			case m := <-down:
				if s.SendMsg(&m) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	defer speaking.Wait()
	defer cancel()
	for {
		var m sessionUp
		if err := s.RecvMsg(&m); err != nil {
			a.quitting(errors.New("the session ended"))
			return nil
		}
		select {
		case a.beat <- struct{}{}:
		default:
		}
		switch {
		case m.Finish:
			a.finish()
		case m.Lock != nil:
			answer := a.lock(*m.Lock)
			answer.Answer = m.Question
			if !a.say(ctx, answer) {
				return nil
			}
		case m.Given != nil:
			a.mu.Lock()
			answer := a.asked[m.Given.Number]
			delete(a.asked, m.Given.Number)
			a.mu.Unlock()
			if answer != nil {
				answer <- *m.Given // it has room
			}
		case m.Unlock:
			a.unlock()
			if !a.say(ctx, sessionDown{Answer: m.Question, Unlocked: true}) {
				return nil
			}
		}
	}
}

func (a *agent) lock(h Holder) sessionDown {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.release != nil {
		return sessionDown{Locked: true}
	}
	release, busy, err := a.options.Lock.TryLock(h)
	switch {
	case err != nil:
		return sessionDown{Failed: err.Error()}
	case busy != nil:
		return sessionDown{Busy: busy}
	}
	a.release = release
	return sessionDown{Locked: true}
}

// say tells the client something, and says whether that was possible.
func (a *agent) say(ctx context.Context, m sessionDown) bool {
	a.mu.Lock()
	down := a.down
	a.mu.Unlock()
	if down == nil {
		return false
	}
	select {
	case down <- m:
		return true
	case <-ctx.Done():
		return false
	case <-a.quit.Done():
		return false
	}
}

// need is a blob that was asked for.
type need struct {
	w *io.PipeWriter
}

// blob asks the client for a blob. Its reader fails at the end if the content is another one.
func (a *agent) blob(ctx context.Context, digest string) (io.ReadCloser, error) {
	r, w := io.Pipe()
	a.mu.Lock()
	a.number++
	number := a.number
	a.needs[number] = &need{w}
	a.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	lost := context.AfterFunc(a.quit, func() { _ = w.CloseWithError(context.Cause(a.quit)) })
	done := func() {
		stop()
		lost()
		a.mu.Lock()
		delete(a.needs, number)
		a.mu.Unlock()
	}
	if !a.say(ctx, sessionDown{Need: digest, Number: number}) {
		done()
		return nil, fmt.Errorf("nobody is there to ask for %s", digest)
	}
	return resource.Verified(asked{r, done}, digest), nil
}

// ask asks the client for what it alone has, and waits for the answer.
func (a *agent) ask(ctx context.Context, q ask) ([]byte, error) {
	answer := make(chan given, 1)
	a.mu.Lock()
	a.number++
	q.Number = a.number
	a.asked[q.Number] = answer
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.asked, q.Number)
	}()
	what := "a certificate"
	if q.Secret != "" {
		what = "the secret " + q.Secret
	}
	if !a.say(ctx, sessionDown{Ask: &q}) {
		return nil, fmt.Errorf("nobody is there to ask for %s", what)
	}
	select {
	case g := <-answer:
		if g.Failed != "" {
			return nil, fmt.Errorf("asking for %s: %s", what, g.Failed)
		}
		return g.Content, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.quit.Done():
		return nil, fmt.Errorf("asking for %s: %w", what, context.Cause(a.quit))
	}
}

// shared gives what control planes share to who has the lock: it goes to other control planes through the client's memory.
func (a *agent) shared(context.Context, *sharedRequest) (*sharedReply, error) {
	done, err := a.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	paths := resource.SharedFiles()
	for _, name := range pki.Authorities() {
		paths = append(paths, resource.PKIDir+"/"+name+".key")
	}
	r := &sharedReply{Files: map[string][]byte{}}
	for _, path := range paths {
		content, err := sharedContent(a.options.Env.Files, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, explainError(err)
		default:
			r.Files[path] = content
		}
	}
	return r, nil
}

// asked is a blob that was asked for.
type asked struct {
	*io.PipeReader
	done func()
}

func (a asked) Close() error {
	a.done()
	return a.PipeReader.Close()
}

// put takes a blob that was asked for.
func (a *agent) put(s grpc.ServerStream) error {
	m, _ := metadata.FromIncomingContext(s.Context())
	var number int
	if v := m.Get(numberKey); len(v) == 1 {
		number, _ = strconv.Atoi(v[0])
	}
	a.mu.Lock()
	n := a.needs[number]
	a.mu.Unlock()
	if n == nil {
		return status.Error(codes.NotFound, "nobody waits for this blob any more")
	}
	for {
		var c chunk
		err := s.RecvMsg(&c)
		if errors.Is(err, io.EOF) {
			_ = n.w.Close()
			return s.SendMsg(&putReply{})
		}
		if err != nil {
			_ = n.w.CloseWithError(fmt.Errorf("the connection ended while the content was on its way: %w", err))
			return err
		}
		if c.failed != "" {
			_ = n.w.CloseWithError(errors.New(c.failed))
			return s.SendMsg(&putReply{})
		}
		if _, err := n.w.Write(*c.data); err != nil {
			return status.Error(codes.Canceled, err.Error())
		}
	}
}

// observers is how many steps are looked at at once. Most of what they do is to wait for disks and for others' answers; more would take a small machine from those who work
// on it.
const observers = 4

// observe looks at all steps, some at once.
func (a *agent) observe(ctx context.Context, r *observeRequest) (*observeReply, error) {
	env := a.env()
	boot, err := bootID(env)
	if err != nil {
		return nil, explainError(err)
	}
	wanted := map[resource.ID]bool{}
	var steps []step
	for _, spec := range r.Steps {
		s, err := decodeStep(spec)
		if err != nil {
			return nil, explainError(err)
		}
		steps = append(steps, s)
		for _, each := range s.resources {
			wanted[each.ID()] = true
		}
	}
	o := plan.Observation{Resources: map[string]resource.Observed{}, Unwell: map[string]string{}}
	found := make([]plan.Observation, len(steps))
	looking, lookingCtx := errgroup.WithContext(ctx)
	looking.SetLimit(observers)
	for i, s := range steps {
		looking.Go(func() error {
			var err error
			found[i], err = a.observeStep(lookingCtx, env, s, boot)
			return err
		})
	}
	if err := looking.Wait(); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		return nil, explainError(err)
	}
	for _, f := range found {
		maps.Copy(o.Resources, f.Resources)
		maps.Copy(o.Unwell, f.Unwell)
	}
	o.Removals, err = a.owned.unwanted(wanted)
	return &observeReply{o}, explainError(err)
}

// observeStep looks at the resources of a step, one after the other, and then asks whether it is well.
func (a *agent) observeStep(ctx context.Context, env *resource.Env, s step, boot string) (plan.Observation, error) {
	o := plan.Observation{Resources: map[string]resource.Observed{}, Unwell: map[string]string{}}
	for _, each := range s.resources {
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		id := each.ID()
		seen, err := each.Observe(ctx, env)
		if err != nil {
			o.Resources[id.String()] = resource.Observed{State: resource.Unknown, Reason: err.Error()}
			continue
		}
		pending, err := a.owned.pending(each, boot)
		if err != nil {
			return o, err
		}
		seen.Pending = pending
		_, triggered := each.(resource.Triggered) // whether it is triggered now is for the plan to see
		if triggered || len(pending) > 0 || seen.Note != "" || seen.Blocked != "" || len(each.Diff(seen)) > 0 {
			o.Resources[id.String()] = seen
		}
	}
	for id, why := range check(ctx, env, s.ensures) {
		o.Unwell[id] = why.why
	}
	return o, nil
}

type step struct {
	resources []resource.Resource
	ensures   []resource.Probe
}

func decodeStep(spec stepSpec) (step, error) {
	var s step
	for _, e := range spec.Resources {
		r, err := resource.Decode(e)
		if err != nil {
			return s, err
		}
		s.resources = append(s.resources, r)
	}
	var err error
	s.ensures, err = decodeProbes(spec.Ensures)
	return s, err
}

func decodeProbes(all []resource.Encoded) ([]resource.Probe, error) {
	var probes []resource.Probe
	for _, e := range all {
		p, err := resource.DecodeProbe(e)
		if err != nil {
			return nil, err
		}
		probes = append(probes, p)
	}
	return probes, nil
}

type unwell struct {
	why      string
	hopeless bool
}

// check asks all probes at once: each waits for another's answer.
func check(ctx context.Context, env *resource.Env, probes []resource.Probe) map[string]unwell {
	answers := make([]unwell, len(probes))
	var asking sync.WaitGroup
	for i, p := range probes {
		asking.Go(func() {
			why, err := p.Check(ctx, env)
			if err != nil {
				answers[i] = unwell{err.Error(), true}
				return
			}
			answers[i] = unwell{why, false}
		})
	}
	asking.Wait()
	found := map[string]unwell{}
	for i, p := range probes {
		if answers[i] != (unwell{}) {
			found[p.ID().String()] = answers[i]
		}
	}
	return found
}

func (a *agent) check(ctx context.Context, r *checkRequest) (*checkReply, error) {
	probes, err := decodeProbes(r.Probes)
	if err != nil {
		return nil, explainError(err)
	}
	reply := &checkReply{Unwell: map[string]string{}}
	for id, u := range check(ctx, a.env(), probes) {
		reply.Unwell[id] = u.why
		if u.hopeless {
			reply.Hopeless = append(reply.Hopeless, id)
		}
	}
	return reply, nil
}

// look finds out what reports are about, all at once: one that waits for who does not answer does not hold up the others.
func (a *agent) look(ctx context.Context, r *lookRequest) (*lookReply, error) {
	var reply lookReply
	var mu sync.Mutex
	var looking sync.WaitGroup
	for _, e := range r.Reports {
		report, err := resource.DecodeReport(e)
		if err != nil {
			looking.Wait()
			return nil, explainError(err)
		}
		looking.Go(func() {
			value, err := report.Look(ctx, a.env())
			mu.Lock()
			defer mu.Unlock()
			reply.Found.Add(report.ID(), value, err)
		})
	}
	looking.Wait()
	return &reply, ctx.Err()
}

// certify has the Kubernetes API sign the certificate of a user. Of the machine nothing changes, so its lock is not needed.
func (a *agent) certify(ctx context.Context, r *certifyRequest) (*certifyReply, error) {
	certificate, err := r.Certificate.Issue(ctx, a.env())
	return &certifyReply{certificate}, explainError(err)
}

// join has the Kubernetes API know a token to join with. Of the machine nothing changes here either.
func (a *agent) join(ctx context.Context, r *joinRequest) (*joinReply, error) {
	made, err := r.Token.Make(ctx, a.env())
	return &joinReply{made}, explainError(err)
}

// begin is called before anything is written. It fails where that is not allowed.
func (a *agent) begin() (done func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.release == nil {
		return nil, status.Error(codes.PermissionDenied, "nothing is written without the machine's lock")
	}
	if a.closing || a.quit.Err() != nil {
		return nil, status.Error(codes.Unavailable, context.Cause(a.quit).Error())
	}
	a.busy.Add(1)
	return a.busy.Done, nil
}

// over says why nothing further may begin.
func (a *agent) over(s grpc.ServerStream) error {
	if a.quit.Err() != nil {
		return status.Error(codes.Unavailable, context.Cause(a.quit).Error())
	}
	if err := s.Context().Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if a.begins.Err() != nil {
		return status.Error(codes.Canceled, "the run was interrupted")
	}
	return nil
}

// apply makes a step's resources true, one after the other. What is in hand is finished even if the client goes away.
func (a *agent) apply(r *applyRequest, s grpc.ServerStream) (err error) {
	done, err := a.begin()
	if err != nil {
		return err
	}
	defer done()
	st, err := decodeStep(r.Step)
	if err != nil {
		return explainError(err)
	}
	env := a.env()
	boot, err := bootID(env)
	if err != nil {
		return explainError(err)
	}
	var found []foundResource
	// Also if a later one fails: what was found is known now only.
	defer func() {
		if failed := a.owned.adopt(found); err == nil {
			err = explainError(failed)
		}
	}()
	for _, each := range st.resources {
		if err := a.over(s); err != nil {
			return err
		}
		id := each.ID()
		said := make(chan struct{})
		// What a resource says while it works must not make it wait for the client.
		messages := make(chan string, 1)
		go func() {
			defer close(said)
			for m := range messages {
				_ = s.SendMsg(&Progress{Resource: id, Phase: At, Message: m})
			}
		}()
		env.Progress = func(message string) {
			select {
			case messages <- message:
			default:
			}
		}
		_ = s.SendMsg(&Progress{Resource: id, Phase: Begin})
		before, changed, err := a.applyResource(env, each, st.resources, boot)
		env.Progress = nil
		close(messages)
		<-said
		if err != nil {
			return explainError(fmt.Errorf("%s: %w", id, err))
		}
		if !changed && resource.Remembered(each) {
			found = append(found, foundResource{each, before})
		}
		_ = s.SendMsg(&Progress{Resource: id, Phase: End, Changed: changed})
	}
	return nil
}

// applyResource makes a resource true if it is not, and makes sure that it is. What has to be remembered is written before.
func (a *agent) applyResource(env *resource.Env, r resource.Resource, step []resource.Resource, boot string) (before resource.Observed, changed bool, err error) {
	before, err = r.Observe(a.work, env)
	if err != nil {
		return before, false, err
	}
	if before.Blocked != "" {
		return before, false, resource.BlockedError{Reason: before.Blocked}
	}
	pending, err := a.owned.pending(r, boot)
	if err != nil {
		return before, false, err
	}
	differs := len(r.Diff(before)) > 0
	if !differs && len(pending) == 0 {
		return before, false, nil
	}
	if resource.Remembered(r) {
		if err := a.owned.add(r, before); err != nil {
			return before, false, fmt.Errorf("remembering what was there before: %w", err)
		}
		if err := a.owned.mark(r.ID(), step, boot); err != nil {
			return before, false, fmt.Errorf("remembering what it triggers: %w", err)
		}
	}
	if t, ok := r.(resource.Triggered); ok && len(pending) > 0 {
		err = t.Fire(a.work, env, pending)
	} else {
		err = r.Apply(a.work, env)
	}
	if err != nil {
		return before, false, err
	}
	if err := a.owned.unmark(r.ID()); err != nil {
		return before, false, err
	}
	now, err := r.Observe(a.work, env)
	if err != nil {
		return before, true, fmt.Errorf("looking whether it is so now: %w", err)
	}
	if now.Blocked != "" {
		return before, true, resource.BlockedError{Reason: now.Blocked}
	}
	for _, c := range r.Diff(now) {
		return before, true, fmt.Errorf("it was applied, but still differs: %s. Does something else on the machine change it back?", c)
	}
	return before, true, nil
}

// remove undoes resources, in the order that is given.
func (a *agent) remove(r *removeRequest, s grpc.ServerStream) error {
	done, err := a.begin()
	if err != nil {
		return err
	}
	defer done()
	ids := r.Resources
	if r.All {
		if ids, err = a.owned.unwanted(nil); err != nil {
			return explainError(err)
		}
	}
	env := a.env()
	for _, id := range ids {
		if err := a.over(s); err != nil {
			return err
		}
		_ = s.SendMsg(&Progress{Resource: id, Phase: Begin})
		err := a.undo(env, id, r.All)
		if err != nil {
			return explainError(fmt.Errorf("taking away %s: %w", id, err))
		}
		_ = s.SendMsg(&Progress{Resource: id, Phase: End, Changed: true})
	}
	if len(ids) > 0 {
		// Units went whose files systemd still knows.
		if err := env.Systemd.DaemonReload(a.work); err != nil {
			return explainError(err)
		}
	}
	if r.All {
		if err := env.Files.RemoveAll(Dir); err != nil {
			return explainError(fmt.Errorf("removing %s: %w", Dir, err))
		}
		a.mu.Lock()
		a.reset = true
		a.mu.Unlock()
	}
	return nil
}

// undo takes away a resource that Kubewright put there, and forgets it. If all goes, what runs by means of others is remembered to the end: should that be cut off, and
// what is left be made whole again, it would run again.
func (a *agent) undo(env *resource.Env, id resource.ID, all bool) error {
	e, err := a.owned.entry(id)
	if err != nil || e == nil {
		return err
	}
	r, err := resource.Decode(e.Resource)
	if err != nil {
		return err
	}
	if f, ok := r.(resource.Filler); ok && e.Found {
		if err := f.Empty(a.work, env, e.Previous); err != nil {
			return err
		}
	}
	// What stays and reads it has to be restarted.
	readers, err := a.owned.resources()
	if err != nil {
		return err
	}
	boot, err := bootID(env)
	if err != nil {
		return err
	}
	if err := a.owned.mark(id, readers, boot); err != nil {
		return err
	}
	var left []string // directories with something in them
	if !e.Found {
		if err := r.Undo(a.work, env, e.Previous); err != nil {
			return err
		}
		for _, dir := range e.Directories {
			empty, err := removeEmpty(env.Files, dir)
			if err != nil {
				return err
			}
			if !empty {
				left = append(left, dir)
			}
		}
	}
	if t, ok := r.(resource.Triggered); ok && len(t.TriggeredBy()) > 0 && t.Ran(e.Previous) {
		if err := t.Refire(a.work, env); err != nil {
			return err
		}
	}
	if err := a.owned.unmark(id); err != nil {
		return err
	}
	if _, runs := r.(resource.Runs); runs && all {
		return nil
	}
	return a.owned.drop(id, left)
}

// removeEmpty removes a directory unless there is something in it.
func removeEmpty(files resource.Files, dir string) (empty bool, err error) {
	names, err := files.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil || len(names) > 0:
		return false, err
	}
	return true, files.Remove(dir)
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Blobs are contents by digest ("sha256:…").
type Blobs interface {
	Open(digest string) (io.ReadCloser, error)
}

// Keys are what control planes share, and what is signed by it.
type Keys interface {
	// Sign makes the certificate of a resource that a host is to have.
	Sign(ctx context.Context, host string, of resource.ID, request []byte) ([]byte, error)
	// Secret is one that a resource uses that a host is to have.
	Secret(ctx context.Context, host string, of resource.ID, name string) ([]byte, error)
}

// LostError is the end of the connection to an agent, or of the agent. What it was doing may or may not have been done.
type LostError struct {
	Host string
	Err  error
}

func (e *LostError) Error() string { return fmt.Sprintf("%s: the agent was lost: %v", e.Host, e.Err) }

func (e *LostError) Unwrap() error { return e.Err }

// Client speaks to an agent. Its methods may be called from several goroutines at once.
type Client struct {
	host  string
	grpc  *grpc.ClientConn
	conn  *conn
	blobs Blobs
	keys  Keys

	ctx     context.Context // of the session
	stop    context.CancelCauseFunc
	owned   sync.WaitGroup
	up      chan sessionUp
	answers chan sessionDown // to what locks ask
	asking  chan struct{}    // holds one thing while somebody asks
	asked   int              // questions so far
}

// Connect begins a session with the agent at the other end of a stream, which it owns from now on. Close ends both. Keys may be nil if nothing needs them.
func Connect(ctx context.Context, host string, stream io.ReadWriteCloser, blobs Blobs, keys Keys) (*Client, error) {
	c := &Client{host: host, conn: newConn(stream), blobs: blobs, keys: keys, up: make(chan sessionUp), answers: make(chan sessionDown, 1), asking: make(chan struct{}, 1)}
	// The session outlives the context of who connects; Close ends it.
	c.ctx, c.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	var used atomic.Bool
	var err error
	c.grpc, err = grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the stream is SSH's
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errUsed
			}
			return c.conn, nil
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// Thousands of hosts at once: buffers are taken while they are needed.
		grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(4<<10),
		grpc.WithIdleTimeout(0), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	session, err := c.grpc.NewStream(c.ctx, &grpc.StreamDesc{StreamName: "Session", ServerStreams: true, ClientStreams: true}, "/"+service+"/Session")
	if err != nil {
		c.Close()
		return nil, c.explain(err)
	}
	c.owned.Go(func() { c.speak(session) })
	c.owned.Go(func() { c.listen(session) })
	c.owned.Go(func() {
		select {
		case <-c.conn.closed:
			c.stop(errUsed)
		case <-c.ctx.Done():
		}
	})
	return c, nil
}

// speak says what is to be said, and that the client is there.
func (c *Client) speak(session grpc.ClientStream) {
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	say := func(m sessionUp) bool {
		err := session.SendMsg(&m)
		if err != nil {
			c.stop(err)
		}
		return err == nil
	}
	for ok := say(sessionUp{}); ok; {
		select {
		case <-c.ctx.Done():
			return
		case m := <-c.up:
			ok = say(m)
		case <-tick.C:
			ok = say(sessionUp{})
		}
	}
}

// listen takes what the agent says and asks for.
func (c *Client) listen(session grpc.ClientStream) {
	for {
		var m sessionDown
		if err := session.RecvMsg(&m); err != nil {
			c.stop(err)
			return
		}
		if m.Need != "" {
			c.owned.Go(func() { c.supply(m.Need, m.Number) })
			continue
		}
		if m.Ask != nil {
			c.owned.Go(func() { c.give(*m.Ask) })
			continue
		}
		// An answer that nobody waited for makes room: what blobs the agent needs comes behind it.
		select {
		case <-c.answers:
		default:
		}
		c.answers <- m
	}
}

// pieceSize is how much of a blob travels at once, in bytes: a size that gRPC's pool of buffers has.
const pieceSize = 32 << 10

// supply sends a blob that the agent asked for. What goes wrong with the blob goes to the agent, and comes back as the error of the step.
func (c *Client) supply(digest string, number int) {
	ctx := metadata.AppendToOutgoingContext(c.ctx, numberKey, strconv.Itoa(number))
	put, sendErr := c.grpc.NewStream(ctx, &grpc.StreamDesc{StreamName: "Put", ClientStreams: true}, "/"+service+"/Put")
	if sendErr != nil {
		c.stop(sendErr) // the agent would wait for it for ever
		return
	}
	r, err := c.blobs.Open(digest)
	if err == nil {
		defer func() { _ = r.Close() }()
	}
	for err == nil {
		// gRPC holds on to what it sends, and gives it back when it is sent.
		pool := mem.DefaultBufferPool()
		piece := pool.Get(pieceSize)
		var n int
		n, err = io.ReadFull(r, *piece)
		*piece = (*piece)[:n]
		if n > 0 {
			if put.SendMsg(&chunk{data: piece, pool: pool}) != nil {
				break // the agent wants no more of it; the answer says why, to who asked
			}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		_ = put.SendMsg(&chunk{failed: err.Error()}) // if nobody hears it, nobody waits for it
	}
	// A blob that ends early is found out by its digest.
	_ = put.CloseSend()
	_ = put.RecvMsg(&putReply{})
}

// give answers what the agent asks for. What goes wrong comes back as the error of the step.
func (c *Client) give(a ask) {
	g := given{Number: a.Number}
	var err error
	switch {
	case c.keys == nil:
		err = errors.New("there are no keys in this run, which is a mistake of this program")
	case a.Secret != "":
		g.Content, err = c.keys.Secret(c.ctx, c.host, a.Of, a.Secret)
	default:
		g.Content, err = c.keys.Sign(c.ctx, c.host, a.Of, a.Request)
	}
	if err != nil {
		g = given{Number: a.Number, Failed: err.Error()}
	}
	select {
	case c.up <- sessionUp{Given: &g}:
	case <-c.ctx.Done():
	}
}

// Done is closed when the session has ended, whoever ended it.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// Alive says whether the session goes on, as far as is known.
func (c *Client) Alive() bool { return c.ctx.Err() == nil }

// Close ends the session and the stream.
func (c *Client) Close() {
	c.stop(errUsed)
	_ = c.grpc.Close()
	_ = c.conn.Close()
	c.owned.Wait()
}

// explain makes of what a call fails with what it means.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.OK:
		return nil
	case codes.FailedPrecondition:
		return resource.BlockedError{Reason: s.Message()}
	case codes.Aborted:
		return resource.TransientError{Err: errors.New(s.Message())}
	case codes.Canceled:
		if c.ctx.Err() != nil {
			return &LostError{c.host, context.Cause(c.ctx)}
		}
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unavailable:
		return &LostError{c.host, errors.New(s.Message())}
	}
	return errors.New(s.Message())
}

// answerTime is how long looking at a machine may take. That it is there is known all the while; this is for what hangs on it.
const answerTime = 3 * time.Minute

func (c *Client) call(ctx context.Context, method string, request, reply any) error {
	within, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := c.explain(c.grpc.Invoke(within, "/"+service+"/"+method, request, reply))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%s: the agent gave no answer within %s; something on the machine hangs: a disk, a network file system, systemd. Look at it, or take it out of the file", c.host, answerTime)
	}
	return err
}

// Hello asks what the machine is.
func (c *Client) Hello(ctx context.Context) (facts.Host, error) {
	var r helloReply
	asked := time.Now()
	if err := c.call(ctx, "Hello", &helloRequest{}, &r); err != nil {
		return facts.Host{}, err
	}
	answered := time.Now()
	r.Facts.ClockOffset, r.Facts.ClockError = clockOffset(r.Facts.Clock, answered, answered.Sub(asked), answered.Round(0).Sub(asked.Round(0)))
	return r.Facts, nil
}

// clockOffset is how far a machine's clock is ahead of the one here, give or take half of uncertain: it was looked at at some moment of a question that was answered at a time here.
// The question took so long in truth, and so long by the clock here: one that was set meanwhile, or of a computer that slept, knows less.
func clockOffset(machine, answered time.Time, took, byClock time.Duration) (offset, uncertain time.Duration) {
	return machine.Sub(answered.Add(-byClock / 2)), max(took, byClock) + 2*(took-byClock).Abs()
}

// Lock takes the machine's lock. If another run holds it, it says which.
func (c *Client) Lock(ctx context.Context, h Holder) (busy *Holder, err error) {
	m, err := c.ask(ctx, sessionUp{Lock: &h})
	switch {
	case err != nil:
		return nil, err
	case m.Failed != "":
		return nil, fmt.Errorf("%s: taking the lock: %s", c.host, m.Failed)
	}
	return m.Busy, nil
}

// Unlock gives the machine's lock back.
func (c *Client) Unlock(ctx context.Context) error {
	_, err := c.ask(ctx, sessionUp{Unlock: true})
	return err
}

// Finish has the agent finish the resource in hand and begin no other; calls that had more to do end with context.Canceled.
func (c *Client) Finish() {
	select {
	case c.up <- sessionUp{Finish: true}:
	case <-c.ctx.Done():
	}
}

func (c *Client) ask(ctx context.Context, m sessionUp) (sessionDown, error) {
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return sessionDown{}, ctx.Err()
	}
	defer func() { <-c.asking }()
	c.asked++ // by who holds asking
	m.Question = c.asked
	select {
	case c.up <- m:
	case <-ctx.Done():
		return sessionDown{}, ctx.Err()
	case <-c.ctx.Done():
		return sessionDown{}, &LostError{c.host, context.Cause(c.ctx)}
	}
	for {
		select {
		case a := <-c.answers:
			if a.Answer == m.Question {
				return a, nil
			} // else it is to one that nobody waits for any more
		case <-ctx.Done():
			return sessionDown{}, ctx.Err()
		case <-c.ctx.Done():
			return sessionDown{}, &LostError{c.host, context.Cause(c.ctx)}
		}
	}
}

// Observe asks how the machine differs from what some steps want; they have to be all that it shall have, since what else Kubewright put there is
// no longer wanted.
func (c *Client) Observe(ctx context.Context, steps []plan.Step) (plan.Observation, error) {
	var request observeRequest
	for _, s := range steps {
		spec, err := encodeStep(s)
		if err != nil {
			return plan.Observation{}, err
		}
		request.Steps = append(request.Steps, spec)
	}
	var r observeReply
	err := c.call(ctx, "Observe", &request, &r)
	return r.Observation, err
}

func encodeStep(s plan.Step) (stepSpec, error) {
	spec := stepSpec{Name: s.Name}
	for _, r := range s.Resources {
		e, err := resource.Encode(r)
		if err != nil {
			return spec, err
		}
		spec.Resources = append(spec.Resources, e)
	}
	var err error
	spec.Ensures, err = encodeProbes(s.Ensures)
	return spec, err
}

func encodeProbes(probes []resource.Probe) ([]resource.Encoded, error) {
	var encoded []resource.Encoded
	for _, p := range probes {
		e, err := resource.EncodeProbe(p)
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, e)
	}
	return encoded, nil
}

// Check asks what of some probes is not well, and why, by resource.ID.String. What will not be by waiting is an error, too.
func (c *Client) Check(ctx context.Context, probes []resource.Probe) (map[string]string, error) {
	encoded, err := encodeProbes(probes)
	if err != nil {
		return nil, err
	}
	var r checkReply
	if err := c.call(ctx, "Check", &checkRequest{encoded}, &r); err != nil {
		return nil, err
	}
	for _, id := range r.Hopeless {
		return r.Unwell, fmt.Errorf("%s: %s", id, r.Unwell[id])
	}
	return r.Unwell, nil
}

// Look finds out what reports are about, without changing anything.
func (c *Client) Look(ctx context.Context, reports []resource.Report) (resource.Found, error) {
	var request lookRequest
	for _, r := range reports {
		e, err := resource.EncodeReport(r)
		if err != nil {
			return resource.Found{}, err
		}
		request.Reports = append(request.Reports, e)
	}
	var r lookReply
	err := c.call(ctx, "Look", &request, &r)
	return r.Found, err
}

// Certify has the Kubernetes API sign the certificate of a user, with the credentials that lie on the machine. It returns PEM.
func (c *Client) Certify(ctx context.Context, u resource.UserCertificate) ([]byte, error) {
	var r certifyReply
	err := c.call(ctx, "Certify", &certifyRequest{u}, &r)
	return r.Certificate, err
}

// Join has the Kubernetes API know a new token to join with, with the credentials that lie on the machine.
func (c *Client) Join(ctx context.Context, t resource.JoinToken) (resource.MadeToken, error) {
	var r joinReply
	err := c.call(ctx, "Join", &joinRequest{t}, &r)
	return r.Made, err
}

// Shared are the contents of what the machine shares with other control planes, keys among it, by path. The machine's lock has to be held.
func (c *Client) Shared(ctx context.Context) (map[string][]byte, error) {
	var r sharedReply
	err := c.call(ctx, "Shared", &sharedRequest{}, &r)
	return r.Files, err
}

// Apply makes the resources of a step true, in order. It stops at the first that fails.
func (c *Client) Apply(ctx context.Context, s plan.Step, progress func(Progress)) error {
	spec, err := encodeStep(s)
	if err != nil {
		return err
	}
	return c.stream(ctx, "Apply", &applyRequest{spec}, progress)
}

// Remove takes away what Kubewright put there, last things first.
func (c *Client) Remove(ctx context.Context, ids []resource.ID, progress func(Progress)) error {
	return c.stream(ctx, "Remove", &removeRequest{Resources: ids}, progress)
}

// Reset takes away all that Kubewright put there, and all that it remembers.
func (c *Client) Reset(ctx context.Context, progress func(Progress)) error {
	return c.stream(ctx, "Remove", &removeRequest{All: true}, progress)
}

func (c *Client) stream(ctx context.Context, method string, request any, progress func(Progress)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.grpc.NewStream(ctx, &grpc.StreamDesc{StreamName: method, ServerStreams: true}, "/"+service+"/"+method)
	if err != nil {
		return c.explain(err)
	}
	if err := errors.Join(s.SendMsg(request), s.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return c.explain(err)
	}
	for {
		var p Progress
		err := s.RecvMsg(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.explain(err)
		}
		progress(p)
	}
}

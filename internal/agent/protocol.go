package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// The protocol is gRPC with JSON messages: both ends are the same binary, named by its digest, so the Go types here are the schema and there is no
// second one to keep in step. Content of blobs travels as it is.

const service = "kubewright.Agent"

// maxMessage is the largest message in bytes: an observation of a host carries texts that differ.
const maxMessage = 64 << 20

// Timing of heartbeats: the client says every BeatEvery that it is there; an agent that hears nothing for BeatTimeout finishes the resource in hand and ends.
const (
	BeatEvery   = 5 * time.Second
	BeatTimeout = 20 * time.Second
)

// Holder is who holds a lock.
type Holder struct {
	// Run is its ID.
	Run string `json:"run"`
	// Who and From are a user and a computer.
	Who  string `json:"who"`
	From string `json:"from"`
	// Since when.
	Since time.Time `json:"since"`
	// Doing is what the run is for: "apply prod".
	Doing string `json:"doing"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%s on %s, since %s: %s (run %s)", h.Who, h.From, h.Since.Format(time.RFC3339), h.Doing, h.Run)
}

type helloRequest struct{}

type helloReply struct {
	Facts facts.Host `json:"facts"`
}

type stepSpec struct {
	Name      string             `json:"name"`
	Resources []resource.Encoded `json:"resources"`
	Ensures   []resource.Encoded `json:"ensures,omitempty"`
}

type observeRequest struct {
	Steps []stepSpec `json:"steps"`
}

type observeReply struct {
	Observation plan.Observation `json:"observation"`
}

type applyRequest struct {
	Step stepSpec `json:"step"`
}

type removeRequest struct {
	Resources []resource.ID `json:"resources"`
	// All removes everything, and what the agent keeps for itself.
	All bool `json:"all,omitempty"`
}

// Progress is how far a step is.
type Progress struct {
	Resource resource.ID `json:"resource"`
	// Phase is begin, at or end.
	Phase Phase `json:"phase"`
	// Changed says at the end whether there was something to do.
	Changed bool   `json:"changed,omitempty"`
	Message string `json:"message,omitempty"`
}

// Phase of a resource.
type Phase string

// The phases.
const (
	Begin Phase = "begin"
	At    Phase = "at"
	End   Phase = "end"
)

type checkRequest struct {
	Probes []resource.Encoded `json:"probes"`
}

type checkReply struct {
	Unwell map[string]string `json:"unwell,omitempty"`
	// Hopeless are those that do not come true by waiting.
	Hopeless []string `json:"hopeless,omitempty"`
}

// sessionUp is what the client says all along: that it is there, by saying anything.
type sessionUp struct {
	Lock *Holder `json:"lock,omitempty"`
	// Unlock gives the lock back.
	Unlock bool `json:"unlock,omitempty"`
	// Finish has the agent begin no further resource.
	Finish bool `json:"finish,omitempty"`
	// Question numbers Lock and Unlock, so that an answer which comes late is not taken for another's.
	Question int `json:"question,omitempty"`
	// Given answers an Ask.
	Given *given `json:"given,omitempty"`
}

// ask is for something that the client alone has, or may give: a certificate or a secret.
type ask struct {
	// Number comes back with the answer.
	Number int `json:"number"`
	// Of is the resource that it is for. The client knows what that may have.
	Of resource.ID `json:"of"`
	// Request is for a certificate, in PEM form.
	Request []byte `json:"request,omitempty"`
	// Secret is the name of one.
	Secret string `json:"secret,omitempty"`
}

// given is what was asked for, or why it is not to be had.
type given struct {
	Number  int    `json:"number"`
	Content []byte `json:"content,omitempty"`
	Failed  string `json:"failed,omitempty"`
}

type lookRequest struct {
	Reports []resource.Encoded `json:"reports"`
}

type lookReply struct {
	Found resource.Found `json:"found"`
}

type certifyRequest struct {
	Certificate resource.UserCertificate `json:"certificate"`
}

type certifyReply struct {
	// Certificate in PEM form.
	Certificate []byte `json:"certificate"`
}

type joinRequest struct {
	Token resource.JoinToken `json:"token"`
}

type joinReply struct {
	Made resource.MadeToken `json:"made"`
}

type sharedRequest struct{}

type sharedReply struct {
	// Files are contents by path.
	Files map[string][]byte `json:"files,omitempty"`
}

// sessionDown is what the agent says all along.
type sessionDown struct {
	// Answer is the number of the question that is answered.
	Answer int `json:"answer,omitempty"`
	// Locked answers Lock: the lock is held by this run now.
	Locked bool `json:"locked,omitempty"`
	// Busy answers Lock: who holds it.
	Busy *Holder `json:"busy,omitempty"`
	// Failed answers Lock: it cannot be had at all.
	Failed string `json:"failed,omitempty"`
	// Unlocked answers Unlock.
	Unlocked bool `json:"unlocked,omitempty"`
	// Need asks for a blob, to be put under this number.
	Need   string `json:"need,omitempty"`
	Number int    `json:"number,omitempty"`
	// Ask asks for a certificate or a secret.
	Ask *ask `json:"ask,omitempty"`
}

// chunk is a piece of a blob. If it has memory from a pool, that goes back there when it is sent.
type chunk struct {
	data *[]byte
	pool mem.BufferPool
	// failed says why there is no more of it.
	failed string
}

type putReply struct{}

// numberKey is that of the metadata of a put.
const numberKey = "number"

// The first byte of a chunk says what it is.
const (
	dataChunk   = 0
	failedChunk = 1
)

// codec writes messages as JSON and chunks as they are.
type codec struct{}

func (codec) Name() string { return "kubewright" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if c, ok := v.(*chunk); ok {
		if c.failed != "" {
			return mem.BufferSlice{mem.SliceBuffer{failedChunk}, mem.SliceBuffer(c.failed)}, nil
		}
		return mem.BufferSlice{mem.SliceBuffer{dataChunk}, mem.NewBuffer(c.data, c.pool)}, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	b := data.Materialize()
	if c, ok := v.(*chunk); ok {
		switch {
		case len(b) == 0:
			return errors.New("a piece of a blob is empty")
		case b[0] == failedChunk:
			c.failed = string(b[1:])
		default:
			c.data = new(b[1:])
		}
		return nil
	}
	return json.Unmarshal(b, v)
}

// server is what an agent answers.
type server interface {
	hello(ctx context.Context, r *helloRequest) (*helloReply, error)
	observe(ctx context.Context, r *observeRequest) (*observeReply, error)
	check(ctx context.Context, r *checkRequest) (*checkReply, error)
	shared(ctx context.Context, r *sharedRequest) (*sharedReply, error)
	look(ctx context.Context, r *lookRequest) (*lookReply, error)
	certify(ctx context.Context, r *certifyRequest) (*certifyReply, error)
	join(ctx context.Context, r *joinRequest) (*joinReply, error)
	apply(r *applyRequest, s grpc.ServerStream) error
	remove(r *removeRequest, s grpc.ServerStream) error
	session(s grpc.ServerStream) error
	put(s grpc.ServerStream) error
}

// unary describes a call with one question and one answer.
func unary[Request, Reply any](name string, call func(server, context.Context, *Request) (*Reply, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		r := new(Request)
		if err := decode(r); err != nil {
			return nil, err
		}
		return call(srv.(server), ctx, r)
	}}
}

// streamed describes a call with one question and a stream of answers.
func streamed[Request any](name string, call func(server, *Request, grpc.ServerStream) error) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, Handler: func(srv any, s grpc.ServerStream) error {
		r := new(Request)
		if err := s.RecvMsg(r); err != nil {
			return err
		}
		return call(srv.(server), r, s)
	}}
}

// description of the service, for both ends.
func description() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*server)(nil),
		Methods: []grpc.MethodDesc{
			unary("Hello", server.hello), unary("Observe", server.observe), unary("Check", server.check), unary("Shared", server.shared),
			unary("Look", server.look), unary("Certify", server.certify), unary("Join", server.join),
		},
		Streams: []grpc.StreamDesc{
			streamed("Apply", server.apply), streamed("Remove", server.remove),
			{StreamName: "Session", ServerStreams: true, ClientStreams: true, Handler: func(srv any, s grpc.ServerStream) error { return srv.(server).session(s) }},
			{StreamName: "Put", ClientStreams: true, Handler: func(srv any, s grpc.ServerStream) error { return srv.(server).put(s) }},
		},
	}
}

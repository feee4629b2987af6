package converge_test

import (
	"errors"
	"io"
	"sync"
	"time"
)

// newWire is a connection in memory with two ends. What is written never waits, and arrives in order, each piece after a delay of its own; nil is none.
func newWire(there, back func() time.Duration) (a, b *wireEnd) {
	up, down := newFlow(there), newFlow(back)
	return &wireEnd{in: up, out: down}, &wireEnd{in: down, out: up}
}

// wireEnd is one end of it.
type wireEnd struct{ in, out *flow }

func (e *wireEnd) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *wireEnd) Write(p []byte) (int, error) { return e.out.write(p) }

// Close lets the other end read what is on its way.
func (e *wireEnd) Close() error {
	e.in.end(io.ErrClosedPipe, true)
	e.out.end(io.EOF, false)
	return nil
}

// cut ends it for both at once; what is on its way is lost.
func (e *wireEnd) cut() {
	e.in.end(errCut, true)
	e.out.end(errCut, true)
}

// silentFor is after how long a connection that carries nothing any more is given up: as internal/ssh does, three questions without an answer.
const silentFor = 20 * time.Second

// silence loses whatever is written from now on, at both ends. Neither notices until it gives up.
func (e *wireEnd) silence() {
	e.in.silence()
	e.out.silence()
	time.AfterFunc(silentFor, e.cut)
}

var errCut = errors.New("connection reset by peer")

// flow is one direction.
type flow struct {
	delay func() time.Duration

	mu     sync.Mutex
	pieces []piece
	last   time.Time // when the last piece arrives
	err    error     // for who reads, once nothing is left
	ended  chan struct{}
	silent bool
	wrote  chan struct{} // has something if there is something new
}

type piece struct {
	at   time.Time
	data []byte
}

func newFlow(delay func() time.Duration) *flow {
	return &flow{delay: delay, ended: make(chan struct{}), wrote: make(chan struct{}, 1)}
}

func (f *flow) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		return 0, io.ErrClosedPipe
	case f.silent:
		return len(p), nil
	}
	var at time.Time
	if f.delay != nil {
		at = time.Now().Add(f.delay())
		if at.Before(f.last) {
			at = f.last
		}
		f.last = at
	}
	f.pieces = append(f.pieces, piece{at, append([]byte(nil), p...)})
	select {
	case f.wrote <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (f *flow) read(p []byte) (int, error) {
	for {
		f.mu.Lock()
		wait := time.Duration(-1)
		if len(f.pieces) > 0 {
			first := &f.pieces[0]
			if f.delay != nil {
				wait = time.Until(first.at)
			}
			if wait <= 0 {
				n := copy(p, first.data)
				if first.data = first.data[n:]; len(first.data) == 0 {
					f.pieces[0] = piece{}
					f.pieces = f.pieces[1:]
				}
				f.mu.Unlock()
				return n, nil
			}
		}
		if f.err != nil && len(f.pieces) == 0 {
			defer f.mu.Unlock()
			return 0, f.err
		}
		ended := f.ended
		if f.err != nil {
			ended = nil // it is known; what is on its way comes first
		}
		f.mu.Unlock()
		var arrived <-chan time.Time
		if wait > 0 {
			arrived = time.After(wait)
		}
		select {
		case <-arrived:
		case <-f.wrote:
		case <-ended:
		}
	}
}

// end ends it with what the reader is told, who may read what is on its way before.
func (f *flow) end(err error, lose bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if lose {
		f.pieces = nil
	}
	if f.err == nil {
		f.err = err
		close(f.ended)
	} else if lose {
		select { // who waits for what was on its way
		case f.wrote <- struct{}{}:
		default:
		}
	}
}

func (f *flow) silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = true
	f.pieces = nil
}

package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is a connection to a host. Its methods may be called from several goroutines at once.
type Client struct {
	ssh   *ssh.Client
	heard *listening
	ended chan struct{} // closed when the connection has ended
	alive sync.WaitGroup
	stop  context.CancelFunc

	silent atomic.Bool // it was given up
}

// listening is a connection that knows when something was last heard on it.
type listening struct {
	net.Conn
	last atomic.Int64 // nanoseconds since 1970
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.last.Store(time.Now().UnixNano())
	}
	return n, err
}

func newClient(c *ssh.Client, heard *listening, interval time.Duration) *Client {
	ctx, stop := context.WithCancel(context.Background())
	client := &Client{ssh: c, heard: heard, ended: make(chan struct{}), stop: stop}
	client.alive.Go(func() {
		_ = c.Wait()
		close(client.ended)
	})
	client.alive.Go(func() { client.keepAlive(ctx, interval) })
	return client
}

// keepAlive closes the connection when nothing was heard from the host for three intervals and it was asked: a host whose power is gone says
// nothing. A host that is busy talking need not answer.
func (c *Client) keepAlive(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	answered := make(chan error, 1)
	asked, missed := false, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ended:
			return
		case err := <-answered:
			asked = false
			if err != nil {
				return
			}
		case <-tick.C:
			if time.Since(time.Unix(0, c.heard.last.Load())) < interval {
				missed = 0
				continue
			}
			if missed++; missed > 3 {
				c.silent.Store(true)
				_ = c.ssh.Close()
				return
			}
			if asked {
				continue
			}
			asked = true
			c.alive.Go(func() {
				_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
				answered <- err
			})
		}
	}
}

// Alive says whether the connection has not ended.
func (c *Client) Alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Ended is closed when the connection has ended, whoever ended it.
func (c *Client) Ended() <-chan struct{} { return c.ended }

// Close ends the connection and all that runs over it.
func (c *Client) Close() {
	c.stop()
	_ = c.ssh.Close()
	c.alive.Wait()
}

// Output is what a command said, and how it ended.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}

// Run runs a command by the user's login shell, to its end. A command that fails is no error, its exit code tells. When the context ends, Run
// returns at once; the command may go on until the connection is closed, and what reads stdin until that ends.
func (c *Client) Run(ctx context.Context, command string, stdin io.Reader) (Output, error) {
	type result struct {
		out Output
		err error
	}
	done := make(chan result, 1)
	opened := make(chan *ssh.Session, 1)
	// sshd answers the end of a session only when the command has ended, so nobody waits for that here; it ends with the connection at the latest.
	c.alive.Go(func() {
		var r result
		session, err := c.ssh.NewSession()
		if err == nil {
			opened <- session
			var stdout, stderr bytes.Buffer
			session.Stdin, session.Stdout, session.Stderr = stdin, &stdout, &stderr
			err = session.Run(command)
			r.out = Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
			_ = session.Close()
		}
		r.err = err
		done <- r
	})
	select {
	case <-ctx.Done():
		select {
		case session := <-opened:
			_ = session.Close()
		default:
		}
		return Output{}, ctx.Err()
	case r := <-done:
		var exit *ssh.ExitError
		switch {
		case ctx.Err() != nil:
			return r.out, ctx.Err()
		case errors.As(r.err, &exit):
			r.out.Code = exit.ExitStatus()
		case r.err != nil && c.silent.Load():
			return r.out, fmt.Errorf("running a command: the host fell silent and was given up: %w", r.err)
		case r.err != nil:
			return r.out, fmt.Errorf("running a command: %w", r.err)
		}
		return r.out, nil
	}
}

// Process is a command that runs on a host. Reading and writing is its standard output and input.
type Process struct {
	io.Reader
	io.WriteCloser
	// Stderr is its standard error. It must be read.
	Stderr io.Reader

	session *ssh.Session
}

// Start runs a command by the user's login shell.
func (c *Client) Start(command string) (*Process, error) {
	session, err := c.ssh.NewSession()
	if err != nil {
		return nil, fmt.Errorf("starting a command: %w", err)
	}
	p := &Process{session: session}
	var errIn, errOut, errErr error
	p.WriteCloser, errIn = session.StdinPipe()
	p.Reader, errOut = session.StdoutPipe()
	p.Stderr, errErr = session.StderrPipe()
	if err := errors.Join(errIn, errOut, errErr, session.Start(command)); err != nil {
		_ = session.Close()
		return nil, fmt.Errorf("starting a command: %w", err)
	}
	return p, nil
}

// CloseWrite ends its standard input.
func (p *Process) CloseWrite() error { return p.WriteCloser.Close() }

// Close ends it: sshd closes its standard input and output.
func (p *Process) Close() error { return p.session.Close() }

// Wait waits for its end and returns its exit code.
func (p *Process) Wait() (int, error) {
	err := p.session.Wait()
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exit.ExitStatus(), nil
	}
	return 0, err
}

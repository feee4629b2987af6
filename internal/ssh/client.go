package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is a connection to a host. Its methods may be called from several goroutines at once.
type Client struct {
	ssh   *ssh.Client
	ended chan struct{} // closed when the connection has ended
	alive sync.WaitGroup
	stop  context.CancelFunc
}

func newClient(c *ssh.Client, interval time.Duration) *Client {
	ctx, stop := context.WithCancel(context.Background())
	client := &Client{ssh: c, ended: make(chan struct{}), stop: stop}
	client.alive.Go(func() {
		_ = c.Wait()
		close(client.ended)
	})
	client.alive.Go(func() { client.keepAlive(ctx, interval) })
	return client
}

// keepAlive closes the connection when the host has not answered three times in a row: a host whose power is gone says nothing.
func (c *Client) keepAlive(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	answered := make(chan error, 1)
	waiting, missed := false, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ended:
			return
		case err := <-answered:
			waiting, missed = false, 0
			if err != nil {
				return
			}
		case <-tick.C:
			if waiting {
				if missed++; missed == 3 {
					_ = c.ssh.Close()
					return
				}
				continue
			}
			waiting = true
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

// Run runs a command by the user's login shell, to its end. A command that fails is no error, its exit code tells.
func (c *Client) Run(ctx context.Context, command string, stdin io.Reader) (Output, error) {
	session, err := c.ssh.NewSession()
	if err != nil {
		return Output{}, fmt.Errorf("running a command: %w", err)
	}
	defer func() { _ = session.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = stdin, &stdout, &stderr
	err = session.Run(command)
	out := Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *ssh.ExitError
	switch {
	case ctx.Err() != nil:
		return out, ctx.Err()
	case errors.As(err, &exit):
		out.Code = exit.ExitStatus()
	case err != nil:
		return out, fmt.Errorf("running a command: %w", err)
	}
	return out, nil
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

package agent

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// conn makes of a stream what gRPC wants.
type conn struct {
	io.ReadWriteCloser
	once   sync.Once
	closed chan struct{}
}

func newConn(s io.ReadWriteCloser) *conn {
	return &conn{ReadWriteCloser: s, closed: make(chan struct{})}
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	if err != nil {
		c.end()
	}
	return n, err
}

func (c *conn) end() { c.once.Do(func() { close(c.closed) }) }

func (c *conn) Close() error {
	c.end()
	return c.ReadWriteCloser.Close()
}

func (c *conn) LocalAddr() net.Addr              { return streamAddr{} }
func (c *conn) RemoteAddr() net.Addr             { return streamAddr{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "stream" }

// listener hands out one connection, and nothing more until it is closed.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func listen(c net.Conn) *listener {
	l := &listener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- c
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return streamAddr{} }

// errUsed is for a connection that is asked for again: there is only one.
var errUsed = errors.New("the connection to the agent has ended")

package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/singleflight"
)

// Config is what connections are made with. The zero value is what ssh(1) uses of the user's, and asks nothing.
type Config struct {
	// Home is the directory that ~ stands for; the user's if empty.
	Home string
	// Settings is the file with the user's settings; ~/.ssh/config if empty.
	Settings string
	// KnownHosts are the files with the keys of known hosts; ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts if empty. New ones are added to the first.
	KnownHosts []string
	// Agent is the socket of ssh-agent; that of the environment if empty.
	Agent string
	// FirstContact is asked whether a host that is not known is the right one; nil refuses it. It is asked one question at a time.
	FirstContact func(context.Context, FirstContact) (bool, error)
	// Passphrase is asked for the passphrase of a key; nil passes over keys that have one. It is asked one question at a time.
	Passphrase func(ctx context.Context, file string) ([]byte, error)
	// Timeout for a host to answer and to log in; 15 s if 0.
	Timeout time.Duration
	// KeepAlive is how often a host has to show that it is there; 5 s if 0. It is given up after three times without an answer.
	KeepAlive time.Duration
	// Notice is told what a user should know; may be nil.
	Notice func(message string)
}

// Dialer makes connections. Its methods may be called from many goroutines at once.
type Dialer struct {
	config   Config
	settings settings
	hosts    *hostKeys
	keys     *identities

	mu       sync.Mutex
	bastions map[string]*Client // by user@address
	joining  singleflight.Group
}

// NewDialer reads what is needed to make connections.
func NewDialer(c Config) (*Dialer, error) {
	if c.Home == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("looking for your home directory: %w", err)
		}
		c.Home = cmp.Or(os.Getenv("HOME"), u.HomeDir)
	}
	c.Settings = cmp.Or(c.Settings, filepath.Join(c.Home, ".ssh", "config"))
	if len(c.KnownHosts) == 0 {
		c.KnownHosts = []string{filepath.Join(c.Home, ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
	}
	c.Agent = cmp.Or(c.Agent, os.Getenv("SSH_AUTH_SOCK"))
	c.Timeout = cmp.Or(c.Timeout, 15*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, 5*time.Second)
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	d := &Dialer{config: c, keys: newIdentities(c.Passphrase), bastions: map[string]*Client{}}
	var err error
	if d.settings, err = readSettings(c.Settings); err != nil {
		c.Notice(err.Error())
	}
	if d.hosts, err = newHostKeys(c.KnownHosts, c.FirstContact); err != nil {
		return nil, err
	}
	return d, nil
}

// Close ends the connections to bastions and agents.
func (d *Dialer) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.bastions {
		b.Close()
	}
	clear(d.bastions)
	d.keys.close()
}

// Dial connects to a host. What fails is an *Error, unless the context ended.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Client, error) {
	r, err := resolve(t, d.settings, d.config.Home, d.config.Agent, func(file string) bool { _, err := os.Stat(file); return err == nil })
	if err != nil {
		return nil, &Error{Host: t.Name, Address: t.Address, Reason: Misconfigured, Err: err}
	}
	return d.dial(ctx, r)
}

// dial connects; a host that is met for the first time is asked about outside of the handshake, which would not wait for a person.
func (d *Dialer) dial(ctx context.Context, r *route) (*Client, error) {
	c, err := d.connect(ctx, r)
	var unknown unknownKeyError
	if !errors.As(err, &unknown) {
		return c, err
	}
	if err := d.hosts.meet(ctx, r.name, r.address, unknown); err != nil {
		return nil, err
	}
	return d.connect(ctx, r)
}

func (d *Dialer) connect(ctx context.Context, r *route) (*Client, error) {
	fails := func(reason Reason, err error, remedy string) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Host: r.name, Address: r.address, Reason: reason, Err: err, Remedy: remedy}
	}
	within, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	conn, err := d.reach(within, r)
	var ours *Error
	switch {
	case errors.As(err, &ours):
		return nil, err // about the bastion
	case err != nil:
		return nil, fails(Unreachable, err, "Is it on, is its address right, does a firewall keep port "+port(r.address)+" from you?")
	}
	signers, tried := d.keys.signers(ctx, r)
	// What the handshake says of a key is wrapped by the library in words that cannot be told apart, so it is kept here.
	var key error
	config := &ssh.ClientConfig{
		User: r.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyAlgorithms: d.hosts.algorithms(r.address),
		HostKeyCallback: func(_ string, remote net.Addr, k ssh.PublicKey) error {
			key = d.hosts.check(r.address, remote, k)
			return key
		},
		BannerCallback: func(string) error { return nil },
	}
	// The connection is closed when the time is over, which ends the handshake.
	stop := context.AfterFunc(within, func() { _ = conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, r.address, config)
	if !stop() && err == nil {
		err = within.Err()
	}
	if err == nil {
		return newClient(ssh.NewClient(c, channels, requests), d.config.KeepAlive), nil
	}
	_ = conn.Close()
	if within.Err() != nil {
		err = fmt.Errorf("it took the connection, but said nothing for %s: %w", d.config.Timeout, context.Cause(within))
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(key, &unknownKeyError{}):
		return nil, key
	case key != nil:
		if e := explainKey(r.name, r.address, key); e != nil {
			return nil, e
		}
		return nil, fails(HostKeyChanged, key, "")
	case strings.Contains(err.Error(), "unable to authenticate"):
		what := "no keys were found"
		if len(tried) > 0 {
			what = "keys tried: " + strings.Join(tried, ", ")
		}
		return nil, fails(LoginRefused, fmt.Errorf("%s may not log in; %s", r.user, what),
			"Put a public key into ~"+r.user+"/.ssh/authorized_keys there, or say in the cluster file which user and key to use")
	}
	return nil, fails(Unreachable, err, "Is it sshd that answers there?")
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// reach opens a connection to a host, through its bastion if it has one.
func (d *Dialer) reach(ctx context.Context, r *route) (net.Conn, error) {
	if r.via == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	}
	bastion, err := d.bastion(ctx, r.via)
	if err != nil {
		return nil, err
	}
	conn, err := bastion.ssh.DialContext(ctx, "tcp", r.address)
	if err != nil {
		return nil, fmt.Errorf("through %s: %w", r.via.name, err)
	}
	return conn, nil
}

// bastion is the connection to a bastion, which all hosts behind it share.
func (d *Dialer) bastion(ctx context.Context, r *route) (*Client, error) {
	id := r.user + "@" + r.address
	live := func() *Client {
		d.mu.Lock()
		defer d.mu.Unlock()
		if b := d.bastions[id]; b != nil && b.Alive() {
			return b
		}
		return nil
	}
	if b := live(); b != nil {
		return b, nil
	}
	b, err, _ := d.joining.Do(id, func() (any, error) {
		if b := live(); b != nil {
			return b, nil
		}
		b, err := d.dial(ctx, r)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.bastions[id] = b
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	return b.(*Client), nil
}

package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	// Agent is the socket of ssh-agent; that of the environment if empty, and none if NoAgent.
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
	keys     *identities
	ctx      context.Context // of bastions, which outlive who asked for them first
	stop     context.CancelFunc

	mu       sync.Mutex
	hosts    map[string]*hostKeys // by the files that they are of
	bastions map[string]*Client   // by their routes' id
	joining  singleflight.Group
}

// NoAgent is a Config.Agent that stands for none.
const NoAgent = "none"

// NewDialer reads what is needed to make connections.
func NewDialer(c Config) (*Dialer, error) {
	if c.Home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("looking for your home directory: %w", err)
		}
		c.Home = home
	}
	c.Settings = cmp.Or(c.Settings, filepath.Join(c.Home, ".ssh", "config"))
	if len(c.KnownHosts) == 0 {
		c.KnownHosts = []string{filepath.Join(c.Home, ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
	}
	if c.Agent = cmp.Or(c.Agent, os.Getenv("SSH_AUTH_SOCK")); c.Agent == NoAgent {
		c.Agent = ""
	}
	c.Timeout = cmp.Or(c.Timeout, 15*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, 5*time.Second)
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	d := &Dialer{config: c, keys: newIdentities(c.Passphrase, c.Timeout), hosts: map[string]*hostKeys{}, bastions: map[string]*Client{}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	var err error
	if d.settings, err = readSettings(c.Settings); err != nil {
		c.Notice(err.Error())
	}
	if _, err = d.hostKeys(nil); err != nil {
		return nil, err
	}
	return d, nil
}

// Close ends the connections to bastions and agents.
func (d *Dialer) Close() {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.bastions {
		b.Close()
	}
	clear(d.bastions)
	d.keys.close()
}

// hostKeys are those of some files; of the configured ones if there are none.
func (d *Dialer) hostKeys(files []string) (*hostKeys, error) {
	if len(files) == 0 {
		files = d.config.KnownHosts
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := strings.Join(files, "\n")
	if h := d.hosts[id]; h != nil {
		return h, nil
	}
	h, err := newHostKeys(files, d.config.FirstContact)
	if err != nil {
		return nil, err
	}
	d.hosts[id] = h
	return h, nil
}

// Dial connects to a host. What fails is an *Error, unless the context ended.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Client, error) {
	r, err := resolve(t, d.settings, d.config.Home, d.config.Agent, func(file string) bool { _, err := os.Stat(file); return err == nil })
	if err != nil {
		return nil, &Error{Host: t.Name, Address: t.Address, Reason: Misconfigured, Err: err}
	}
	return d.dial(ctx, r)
}

// maxTries bounds how often a connection is tried again, after somebody was asked something or a bastion went away.
const maxTries = 5

// dial connects. What a person must be asked is asked between handshakes, which would not wait for an answer.
func (d *Dialer) dial(ctx context.Context, r *route) (*Client, error) {
	hosts, err := d.hostKeys(r.known)
	if err != nil {
		return nil, &Error{Host: r.name, Address: r.address, Reason: Misconfigured, Err: err}
	}
	for range maxTries {
		var c *Client
		c, err = d.connect(ctx, r, hosts)
		var unknown unknownKeyError
		var locked passphraseNeededError
		switch {
		case errors.As(err, &unknown):
			err = hosts.meet(ctx, r, unknown)
		case errors.As(err, &locked):
			err = d.keys.unlock(ctx, locked.file)
		case errors.Is(err, errBastionEnded) && ctx.Err() == nil:
			continue // through a new one, or to what is wrong with it
		default:
			return c, err
		}
		if err != nil {
			return nil, err
		}
	}
	if err == nil {
		err = errors.New("it asks for more and more")
	}
	return nil, &Error{Host: r.name, Address: r.address, Reason: Unreachable, Err: fmt.Errorf("after %d tries: %w", maxTries, err)}
}

func (d *Dialer) connect(ctx context.Context, r *route, hosts *hostKeys) (*Client, error) {
	fails := func(reason Reason, err error, remedy string) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Host: r.name, Address: r.address, Reason: reason, Err: err, Remedy: remedy}
	}
	// Before the clock starts: neither is the host's fault.
	signers, tried := d.keys.signers(r)
	var bastion *Client
	if r.via != nil {
		var err error
		if bastion, err = d.bastion(ctx, r.via); err != nil {
			return nil, err
		}
	}
	within, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	raw, err := reach(within, r, bastion)
	if err != nil {
		return nil, fails(Unreachable, err, "Is it on, is its address right, does a firewall keep port "+port(r.address)+" from you?")
	}
	conn := &listening{Conn: raw}
	algorithms, known := hosts.algorithms(r.knownAs)
	// What callbacks say is wrapped by the library in words that cannot be told apart, so it is kept here.
	var key, locked error
	for i, s := range signers {
		if k, ok := s.(lockedKey); ok {
			signers[i] = noted{k, &locked}
		}
	}
	config := &ssh.ClientConfig{
		User: r.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, remote net.Addr, k ssh.PublicKey) error {
			key = hosts.check(r.knownAs, remote, k)
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
		return newClient(ssh.NewClient(c, channels, requests), conn, d.config.KeepAlive), nil
	}
	_ = conn.Close()
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case locked != nil:
		return nil, locked
	case errors.As(key, &unknownKeyError{}):
		return nil, key
	case key != nil:
		return nil, explainKey(r.name, r.knownAs, key)
	case errors.As(err, &negotiation) && known && strings.Contains(negotiation.What, "host key"):
		return nil, keyChanged(r.name, r.knownAs, fmt.Errorf("it offers keys of the kinds %s, and is known by one of %s", strings.Join(negotiation.RequestedAlgorithms, ", "), strings.Join(algorithms, ", ")))
	case within.Err() != nil:
		return nil, fails(Unreachable, fmt.Errorf("it took the connection, but said nothing for %s: %w", d.config.Timeout, within.Err()), "Is it sshd that answers there, and is it well?")
	case strings.Contains(err.Error(), "oo many authentication failures"):
		return nil, fails(LoginRefused, fmt.Errorf("it takes no more keys of %s; keys tried: %s", r.user, strings.Join(tried, ", ")),
			"Say in the cluster file which key to use, or IdentitiesOnly yes in ~/.ssh/config")
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

// errBastionEnded is what a connection through a bastion fails with when the one to the bastion, which may be an old one, is gone.
var errBastionEnded = errors.New("the connection to the bastion has ended")

// reach opens a connection to a host, through its bastion if it has one.
func reach(ctx context.Context, r *route, bastion *Client) (net.Conn, error) {
	if bastion == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	}
	conn, err := bastion.ssh.DialContext(ctx, "tcp", r.address)
	// What is not the bastion's own refusal is the end of the connection to it, in words of the library that differ by where it was.
	var refused *ssh.OpenChannelError
	if err != nil && !errors.As(err, &refused) {
		select {
		case <-bastion.Ended():
			return nil, errBastionEnded
		case <-ctx.Done():
		}
	}
	if err != nil {
		return nil, fmt.Errorf("through %s: %w", r.via.name, err)
	}
	return conn, nil
}

// noted keeps what a key says when it is to sign.
type noted struct {
	lockedKey
	said *error
}

func (n noted) Sign(r io.Reader, b []byte) (*ssh.Signature, error) {
	s, err := n.lockedKey.Sign(r, b)
	*n.said = err
	return s, err
}

func (n noted) SignWithAlgorithm(r io.Reader, b []byte, algorithm string) (*ssh.Signature, error) {
	s, err := n.lockedKey.SignWithAlgorithm(r, b, algorithm)
	*n.said = err
	return s, err
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// bastion is the connection to a bastion, which all hosts behind it share. It is made for all of them, so it does not end with who asked first.
func (d *Dialer) bastion(ctx context.Context, r *route) (*Client, error) {
	id := r.id()
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
	joined := d.joining.DoChan(id, func() (any, error) {
		if b := live(); b != nil {
			return b, nil
		}
		b, err := d.dial(d.ctx, r)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.ctx.Err() != nil {
			b.Close()
			return nil, d.ctx.Err()
		}
		d.bastions[id] = b
		return b, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-joined:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*Client), nil
	}
}

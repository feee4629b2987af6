package machines

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// Result is what a command on a machine said.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
}

// Run runs a shell command as root on a machine, over SSH. A command that fails is no error, its exit code tells. The
// connection is kept for the next one.
func (s *Set) Run(ctx context.Context, name, command string) (Result, error) {
	client, err := s.client(ctx, name)
	if err != nil {
		return Result{}, err
	}
	// Whoever cuts a machine off or its power leaves us without an answer; the connection, which others may be using, is
	// given up with ctx.
	stop := context.AfterFunc(ctx, func() { s.forget(name) })
	defer stop()
	session, err := client.NewSession()
	if err != nil && ctx.Err() == nil {
		// The machine may have been restarted since the last command.
		s.forget(name)
		if client, err = s.client(ctx, name); err != nil {
			return Result{}, err
		}
		if session, err = client.NewSession(); err != nil {
			return Result{}, fmt.Errorf("opening a session on machine %s: %w", name, err)
		}
	}
	if err != nil {
		return Result{}, fmt.Errorf("opening a session on machine %s: %w", name, context.Cause(ctx))
	}
	defer session.Close()
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr = &stdout, &stderr
	err = session.Run(command)
	result := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		result.ExitCode = exit.ExitStatus()
	case ctx.Err() != nil:
		return result, fmt.Errorf("%q on machine %s did not end: %w", command, name, context.Cause(ctx))
	case err != nil:
		return result, fmt.Errorf("running %q on machine %s: %w", command, name, err)
	}
	return result, nil
}

func (s *Set) client(ctx context.Context, name string) (*ssh.Client, error) {
	s.mu.Lock()
	client := s.clients[name]
	s.mu.Unlock()
	if client != nil {
		return client, nil
	}
	client, err := s.dial(ctx, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.clients[name]; old != nil {
		client.Close()
		return old, nil
	}
	s.clients[name] = client
	return client, nil
}

func (s *Set) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[name]; c != nil {
		c.Close()
		delete(s.clients, name)
	}
}

// dial makes a new connection to a machine as root; it accepts the machine's own host key only.
func (s *Set) dial(ctx context.Context, name string) (*ssh.Client, error) {
	picked, err := s.pick([]string{name})
	if err != nil {
		return nil, err
	}
	st, err := s.load()
	if err != nil {
		return nil, err
	}
	identity, err := readKey(s.IdentityFile())
	if err != nil {
		return nil, err
	}
	host, err := readKey(s.machineFile(name, hostKeyFile))
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(st.Subnet.machine(picked[0].Index).String(), "22")
	conn, err := dialPatiently(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connecting to machine %s: %w", name, err)
	}
	// The handshake knows no context: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(identity)}, HostKeyCallback: ssh.FixedHostKey(host.PublicKey()),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("SSH to machine %s: %w", name, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// dialPatiently connects within 3.5 s. A first packet that a starting machine misses is repeated by the kernel after 1 s
// only; beginning anew sooner is faster. A computer that is emulated needs longer for each attempt.
func dialPatiently(ctx context.Context, address string) (net.Conn, error) {
	for patience := 500 * time.Millisecond; ; patience *= 2 {
		conn, err := (&net.Dialer{Timeout: patience, Control: giveUpSoon}).DialContext(ctx, "tcp", address)
		var timeout net.Error
		if err == nil || ctx.Err() != nil || patience >= 2*time.Second || !errors.As(err, &timeout) || !timeout.Timeout() {
			return conn, err
		}
	}
}

// giveUpSoon ends a connection when what was sent is not acknowledged for 2 s: the machine lost its power, or was cut off.
// A busy machine's kernel still acknowledges.
func giveUpSoon(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 2000)
	}), err)
}

const hostKeyFile = "ssh_host_ed25519_key"

// ensureKey makes a key pair in path and path.pub, unless there is one.
func ensureKey(path, comment string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " " + comment + "\n"
	if err := writeFile(path+".pub", []byte(line), 0o644); err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(block), 0o600)
}

func readKey(path string) (ssh.Signer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// writeSSHFiles writes what ssh needs to reach the machines by name and trust them.
func (s *Set) writeSSHFiles(n subnet) error {
	all, err := s.machines()
	if err != nil {
		return err
	}
	var config, known strings.Builder
	fmt.Fprintf(&config, "# Local machines of set %s: ssh -F %s NAME\n", s.config.Name, s.SSHConfig())
	for _, m := range all {
		address := n.machine(m.Index)
		host, err := readKey(s.machineFile(m.Name, hostKeyFile))
		if err != nil {
			return err
		}
		known.WriteString(knownHost(address, m.Name, host.PublicKey()))
		fmt.Fprintf(&config, "Host %s\n  HostName %s\n", m.Name, address)
	}
	fmt.Fprintf(&config, "Host *\n  User root\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  LogLevel ERROR\n",
		s.IdentityFile(), s.KnownHosts())
	if err := writeFile(s.SSHConfig(), []byte(config.String()), 0o600); err != nil {
		return err
	}
	return writeFile(s.KnownHosts(), []byte(known.String()), 0o600)
}

func knownHost(address netip.Addr, name string, key ssh.PublicKey) string {
	return fmt.Sprintf("%s,%s %s", address, name, ssh.MarshalAuthorizedKey(key))
}

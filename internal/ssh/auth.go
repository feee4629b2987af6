package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/sync/singleflight"
)

// identities are the keys to log in with: of files, read once, and of agents, asked once.
type identities struct {
	passphrase func(ctx context.Context, file string) ([]byte, error)
	patience   time.Duration // for an agent to answer

	agents singleflight.Group

	mu       sync.Mutex
	unlocked map[string]ssh.Signer // files with a passphrase that is known
	skipped  map[string]error      // files with one that is not
	answers  map[string]agentAnswer
	conns    []net.Conn

	asking chan struct{} // one question at a time: holds one token
}

// agentAnswer is what an agent said when it was asked for its keys.
type agentAnswer struct {
	keys []ssh.Signer
	err  error
}

func newIdentities(passphrase func(context.Context, string) ([]byte, error), patience time.Duration) *identities {
	return &identities{
		passphrase: passphrase, patience: patience, unlocked: map[string]ssh.Signer{}, skipped: map[string]error{}, answers: map[string]agentAnswer{},
		asking: make(chan struct{}, 1),
	}
}

func (i *identities) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.conns {
		_ = c.Close()
	}
	i.conns = nil
}

// signers are the keys for a route, in the order in which ssh(1) tries them: files, by the agent where it holds them, then what else the agent has.
// Tried says for people what there is, and what there is not.
func (i *identities) signers(r *route) (list []ssh.Signer, tried []string) {
	var held []ssh.Signer
	if r.agent != "" {
		answer := i.askAgent(r.agent)
		if held = answer.keys; answer.err != nil {
			tried = append(tried, "ssh-agent ("+answer.err.Error()+")")
		}
	}
	same := func(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }
	for _, file := range r.keys {
		signer, public, err := i.readKey(file)
		if n := slices.IndexFunc(held, func(s ssh.Signer) bool { return public != nil && same(s.PublicKey(), public) }); n >= 0 {
			list, tried = append(list, held[n]), append(tried, file+" (by ssh-agent)")
			continue
		}
		if err != nil {
			tried = append(tried, file+" ("+err.Error()+")")
			continue
		}
		list, tried = append(list, signer), append(tried, file)
	}
	if r.only {
		return list, tried
	}
	others := 0
	for _, s := range held {
		if !slices.ContainsFunc(list, func(l ssh.Signer) bool { return same(l.PublicKey(), s.PublicKey()) }) {
			list = append(list, s)
			others++
		}
	}
	if others > 0 {
		tried = append(tried, fmt.Sprintf("%d of ssh-agent", others))
	}
	return list, tried
}

// askAgent asks an agent for its keys, once. It does not wait for long.
func (i *identities) askAgent(socket string) agentAnswer {
	i.mu.Lock()
	answer, known := i.answers[socket]
	i.mu.Unlock()
	if known {
		return answer
	}
	v, _, _ := i.agents.Do(socket, func() (any, error) {
		var answer agentAnswer
		conn, err := net.DialTimeout("unix", socket, i.patience)
		if err == nil {
			answer.keys, err = agent.NewClient(&impatient{conn, i.patience}).Signers()
		}
		answer.err = err
		i.mu.Lock()
		defer i.mu.Unlock()
		switch {
		case conn != nil && err == nil:
			i.conns = append(i.conns, conn)
		case conn != nil:
			_ = conn.Close()
		}
		i.answers[socket] = answer
		return answer, nil
	})
	return v.(agentAnswer)
}

// impatient is a connection on which an answer has to come in time.
type impatient struct {
	net.Conn
	patience time.Duration
}

func (c *impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// passphraseNeededError is what a handshake ends with when the host takes a key whose passphrase is not known.
type passphraseNeededError struct{ file string }

func (e passphraseNeededError) Error() string { return e.file + " has a passphrase" }

// lockedKey is a key whose passphrase is asked for when a host takes it.
type lockedKey struct {
	public ssh.PublicKey
	file   string
}

func (k lockedKey) PublicKey() ssh.PublicKey { return k.public }

func (k lockedKey) Sign(io.Reader, []byte) (*ssh.Signature, error) {
	return nil, passphraseNeededError{k.file}
}

func (k lockedKey) SignWithAlgorithm(io.Reader, []byte, string) (*ssh.Signature, error) {
	return nil, passphraseNeededError{k.file}
}

// readKey reads a private key, or a public one whose private half an agent may hold.
func (i *identities) readKey(file string) (ssh.Signer, ssh.PublicKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(b); err == nil {
		return nil, public, errors.New("it is a public key, and ssh-agent does not hold the private one")
	}
	signer, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, nil, err
		}
		return signer, signer.PublicKey(), nil
	}
	public := locked.PublicKey
	if public == nil { // an older format
		if b, err := os.ReadFile(strings.TrimSuffix(file, ".pub") + ".pub"); err == nil {
			public, _, _, _, _ = ssh.ParseAuthorizedKey(b)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.unlocked[file] != nil:
		return i.unlocked[file], public, nil
	case i.skipped[file] != nil:
		return nil, public, i.skipped[file]
	case i.passphrase == nil:
		return nil, public, errors.New("it has a passphrase: add it to ssh-agent with ssh-add")
	case public == nil:
		return nil, nil, errors.New("it has a passphrase, and no public key lies beside it: add it to ssh-agent with ssh-add")
	}
	return lockedKey{public, file}, public, nil
}

// unlock asks for the passphrase of a key, a few times if it is wrong.
func (i *identities) unlock(ctx context.Context, file string) error {
	select {
	case i.asking <- struct{}{}:
		defer func() { <-i.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	i.mu.Lock()
	done := i.unlocked[file] != nil || i.skipped[file] != nil // somebody else was asked meanwhile
	i.mu.Unlock()
	if done {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var signer ssh.Signer
	for range 3 {
		phrase, err := i.passphrase(ctx, file)
		if err != nil {
			return err
		}
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(b, phrase); err == nil {
			break
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if signer == nil {
		i.skipped[file] = errors.New("its passphrase was wrong three times")
		return nil
	}
	i.unlocked[file] = signer
	return nil
}

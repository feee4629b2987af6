package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// identities are the keys to log in with: of files, read once, and of agents, asked once.
type identities struct {
	passphrase func(ctx context.Context, file string) ([]byte, error)

	mu      sync.Mutex
	files   map[string]ssh.Signer
	skipped map[string]error // files that cannot be used
	agents  map[string][]ssh.Signer
	conns   []net.Conn
}

func newIdentities(passphrase func(context.Context, string) ([]byte, error)) *identities {
	return &identities{passphrase: passphrase, files: map[string]ssh.Signer{}, skipped: map[string]error{}, agents: map[string][]ssh.Signer{}}
}

func (i *identities) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.conns {
		_ = c.Close()
	}
	i.conns = nil
}

// signers are the keys for a route, in the order in which they are tried: the agent's, which need no passphrase, then those of files. Tried says
// for people what there is, and what there is not.
func (i *identities) signers(ctx context.Context, r *route) (list []ssh.Signer, tried []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var ofAgent []ssh.Signer
	if r.agent != "" {
		var err error
		if ofAgent, err = i.askAgent(ctx, r.agent); err != nil {
			tried = append(tried, "ssh-agent ("+err.Error()+")")
		}
	}
	if !r.only && len(ofAgent) > 0 {
		list = append(list, ofAgent...)
		tried = append(tried, fmt.Sprintf("%d of ssh-agent", len(ofAgent)))
	}
	for _, file := range r.keys {
		public := publicKeyBeside(file)
		held := slices.IndexFunc(ofAgent, func(s ssh.Signer) bool {
			return public != nil && string(s.PublicKey().Marshal()) == string(public.Marshal())
		})
		switch {
		case held >= 0 && r.only:
			list = append(list, ofAgent[held])
			tried = append(tried, file+" (by ssh-agent)")
		case held >= 0: // it is in the list
		default:
			signer, err := i.readKey(ctx, file)
			if err != nil {
				tried = append(tried, file+" ("+err.Error()+")")
				continue
			}
			list = append(list, signer)
			tried = append(tried, file)
		}
	}
	return list, tried
}

func (i *identities) askAgent(ctx context.Context, socket string) ([]ssh.Signer, error) {
	if list, ok := i.agents[socket]; ok {
		return list, nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	i.conns = append(i.conns, conn)
	list, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, err
	}
	i.agents[socket] = list
	return list, nil
}

// readKey reads a private key, once; a passphrase is asked for once.
func (i *identities) readKey(ctx context.Context, file string) (ssh.Signer, error) {
	if s, ok := i.files[file]; ok {
		return s, nil
	}
	if err, ok := i.skipped[file]; ok {
		return nil, err
	}
	signer, err := func() (ssh.Signer, error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		signer, err := ssh.ParsePrivateKey(b)
		var locked *ssh.PassphraseMissingError
		if !errors.As(err, &locked) {
			return signer, err
		}
		if i.passphrase == nil {
			return nil, errors.New("it has a passphrase: add it to ssh-agent with ssh-add")
		}
		phrase, err := i.passphrase(ctx, file)
		if err != nil {
			return nil, err
		}
		return ssh.ParsePrivateKeyWithPassphrase(b, phrase)
	}()
	if err != nil {
		if ctx.Err() == nil {
			i.skipped[file] = err
		}
		return nil, err
	}
	i.files[file] = signer
	return signer, nil
}

// publicKeyBeside is the public key that lies beside a private one, if it does.
func publicKeyBeside(file string) ssh.PublicKey {
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return nil
	}
	return key
}

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	known "golang.org/x/crypto/ssh/knownhosts"
)

// FirstContact is a host that is not known yet, for a person to judge.
type FirstContact struct {
	Host        string // its name, for people
	Address     string // host:port
	KeyType     string // "ssh-ed25519"
	Fingerprint string // "SHA256:…", as ssh-keygen -l shows it
}

// hostKeys are the keys that hosts are known by: what known_hosts says, and what was accepted since.
type hostKeys struct {
	files []string // that are read; what is accepted is added to the first
	ask   func(context.Context, FirstContact) (bool, error)

	mu       sync.Mutex
	db       *knownhosts.HostKeyDB
	accepted map[string]ssh.PublicKey // by address

	asking sync.Mutex // one question at a time
}

// unknownKeyError is what a handshake ends with when the host is not known.
type unknownKeyError struct {
	remote net.Addr
	key    ssh.PublicKey
}

func (unknownKeyError) Error() string { return "the host is not known" }

func newHostKeys(files []string, ask func(context.Context, FirstContact) (bool, error)) (*hostKeys, error) {
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			there = append(there, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return nil, fmt.Errorf("reading the known hosts: %w", err)
	}
	return &hostKeys{files: files, ask: ask, db: db, accepted: map[string]ssh.PublicKey{}}, nil
}

// algorithms are those that a known host's keys allow; none where it is not known. Without this a host that is known by one kind of key could offer another,
// which would look like a change.
func (h *hostKeys) algorithms(address string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key, ok := h.accepted[address]; ok {
		if key.Type() == ssh.KeyAlgoRSA {
			return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		return []string{key.Type()}
	}
	return h.db.HostKeyAlgorithms(address)
}

// check is called in a handshake.
func (h *hostKeys) check(address string, remote net.Addr, key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if accepted, ok := h.accepted[address]; ok {
		if string(accepted.Marshal()) == string(key.Marshal()) {
			return nil
		}
		return &known.KeyError{Want: []known.KnownKey{{Key: accepted, Filename: h.files[0]}}}
	}
	err := h.db.HostKeyCallback()(address, remote, key)
	if knownhosts.IsHostUnknown(err) {
		return unknownKeyError{remote, key}
	}
	return err
}

// meet asks whether a host that is not known is the right one, and remembers it for good if so.
func (h *hostKeys) meet(ctx context.Context, host, address string, unknown unknownKeyError) error {
	key := unknown.key
	h.asking.Lock()
	defer h.asking.Unlock()
	if h.check(address, unknown.remote, key) == nil {
		return nil // somebody else was asked for the same meanwhile
	}
	first := FirstContact{Host: host, Address: address, KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
	fails := &Error{
		Host: host, Address: address, Reason: HostKeyUnknown, Err: fmt.Errorf("it answers for the first time, with the key %s %s", first.KeyType, first.Fingerprint),
		Remedy: "Compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then accept it when asked, or with --accept-new-host-keys",
	}
	if h.ask == nil {
		return fails
	}
	yes, err := h.ask(ctx, first)
	if err != nil {
		return err
	}
	if !yes {
		return fails
	}
	if err := addKnownHost(h.files[0], address, key); err != nil {
		return fmt.Errorf("remembering the key of %s: %w", host, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accepted[address] = key
	return nil
}

// addKnownHost adds a line to a known_hosts, which others may be adding to.
func addKnownHost(file, address string, key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	lock := flock.New(file)
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	line := knownhosts.Line([]string{address}, key) + "\n"
	// After a last line that somebody left without its end.
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Sync()
}

// explainKey says what is wrong with a host's key that is not just unknown.
func explainKey(host, address string, err error) *Error {
	var changed *known.KeyError
	var revoked *known.RevokedError
	switch {
	case errors.As(err, &revoked):
		return &Error{Host: host, Address: address, Reason: HostKeyChanged, Err: fmt.Errorf("its key is marked as revoked in %s:%d", revoked.Revoked.Filename, revoked.Revoked.Line)}
	case errors.As(err, &changed) && len(changed.Want) > 0:
		var places []string
		for _, w := range changed.Want {
			place := w.Filename
			if w.Line > 0 { // or it was added in this run
				place += fmt.Sprintf(":%d", w.Line)
			}
			places = append(places, fmt.Sprintf("%s (%s)", place, ssh.FingerprintSHA256(w.Key)))
		}
		return &Error{
			Host: host, Address: address, Reason: HostKeyChanged, Err: fmt.Errorf("it answers with another key than the one in %s: it was installed anew, or somebody else answers", strings.Join(places, ", ")),
			Remedy: "If it was installed anew, remove the old key (ssh-keygen -R '" + known.Normalize(address) + "') and try again",
		}
	}
	return nil
}

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

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
	read     map[string]time.Time     // when files were changed that db is of
	accepted map[string]ssh.PublicKey // by address

	asking chan struct{} // one question at a time: holds one token
}

// unknownKeyError is what a handshake ends with when the host is not known.
type unknownKeyError struct {
	remote net.Addr
	key    ssh.PublicKey
}

func (unknownKeyError) Error() string { return "the host is not known" }

func newHostKeys(files []string, ask func(context.Context, FirstContact) (bool, error)) (*hostKeys, error) {
	h := &hostKeys{files: files, ask: ask, accepted: map[string]ssh.PublicKey{}, asking: make(chan struct{}, 1)}
	return h, h.reload()
}

// reload reads the files, unless they are as they were when they were read. The caller holds mu, or nobody else knows h.
func (h *hostKeys) reload() error {
	read := map[string]time.Time{}
	var there []string
	for _, f := range h.files {
		info, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the known hosts: %w", err)
		}
		there = append(there, f)
		read[f] = info.ModTime()
	}
	if h.db != nil && maps.EqualFunc(read, h.read, time.Time.Equal) {
		return nil
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return fmt.Errorf("reading the known hosts: %w; remove or mend that line", err)
	}
	h.db, h.read = db, read
	return nil
}

// plainAlgorithms are those that a host may show itself by at first contact: keys, which can be remembered, not certificates, and nothing with
// SHA-1. The first that both sides have is taken.
var plainAlgorithms = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// algorithms are those that a host may show itself by, and whether it is known. A known host may only use what it is known by: another kind of key
// would look like a change.
func (h *hostKeys) algorithms(address string) (list []string, knownHost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key, ok := h.accepted[address]; ok {
		list = []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			list = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		return list, true
	}
	list = slices.DeleteFunc(h.db.HostKeyAlgorithms(address), func(a string) bool { return a == ssh.KeyAlgoRSA || a == ssh.CertAlgoRSAv01 })
	if len(list) == 0 {
		return plainAlgorithms, false
	}
	return list, true
}

// check is called in a handshake.
func (h *hostKeys) check(address string, remote net.Addr, key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.checkLocked(address, remote, key)
}

func (h *hostKeys) checkLocked(address string, remote net.Addr, key ssh.PublicKey) error {
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

// meet asks whether a host that is not known is the right one, and remembers it for good if so. Whatever became of the host meanwhile, in this process or
// another, it is looked at again after every wait: only a host that is still unknown is accepted.
func (h *hostKeys) meet(ctx context.Context, r *route, unknown unknownKeyError) error {
	host, address := r.name, r.knownAs
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	stillUnknown := func(err error) (bool, error) {
		switch {
		case err == nil:
			return false, nil // somebody else was asked for the same meanwhile
		case errors.As(err, &unknownKeyError{}):
			return true, nil
		}
		return false, explainKey(host, address, err)
	}
	key := unknown.key
	if ask, err := stillUnknown(h.check(address, unknown.remote, key)); err != nil || !ask {
		return err
	}
	first := FirstContact{Host: host, Address: address, KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
	refused := &Error{
		Host: host, Address: address, Reason: HostKeyUnknown, Err: fmt.Errorf("it answers for the first time, with the key %s %s", first.KeyType, first.Fingerprint),
		Remedy: "Compare the fingerprint with the host's own (ssh-keygen -lf " + hostKeyFile(key.Type()) + " there), then accept it when asked, or with --accept-new-host-keys",
	}
	if h.ask == nil || r.strict {
		return refused
	}
	yes, err := h.ask(ctx, first)
	if err != nil {
		return err
	}
	if !yes {
		return refused
	}
	return h.remember(ctx, address, func() (bool, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := h.reload(); err != nil {
			return false, err
		}
		return stillUnknown(h.checkLocked(address, unknown.remote, key))
	}, key)
}

// remember adds a host to the first file, if it is still unknown when nobody else can write to it.
func (h *hostKeys) remember(ctx context.Context, address string, stillUnknown func() (bool, error), key ssh.PublicKey) error {
	file := h.files[0]
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("remembering a host's key: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("remembering a host's key: %w", err)
	}
	defer f.Close()
	lock := flock.New(file)
	if held, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil || !held {
		return fmt.Errorf("locking %s: %w", file, err)
	}
	defer func() { _ = lock.Close() }()
	if add, err := stillUnknown(); err != nil || !add {
		return err
	}
	line := knownhosts.Line([]string{address}, key) + "\n"
	// After a last line that somebody left without its end.
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return fmt.Errorf("remembering a host's key: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("remembering a host's key: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accepted[address] = key
	// What was just written needs no reading: the accepted keys stand for it.
	if info, err := f.Stat(); err == nil {
		h.read[file] = info.ModTime()
	}
	return nil
}

// hostKeyFile is where sshd has its public key of a type by default.
func hostKeyFile(keyType string) string {
	kind := strings.TrimPrefix(keyType, "ssh-")
	if strings.HasPrefix(keyType, "ecdsa-") {
		kind = "ecdsa"
	}
	return "/etc/ssh/ssh_host_" + kind + "_key.pub"
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
		return keyChanged(host, address, fmt.Errorf("it answers with another key than the one in %s", strings.Join(places, ", ")))
	}
	return keyChanged(host, address, err)
}

func keyChanged(host, address string, err error) *Error {
	return &Error{
		Host: host, Address: address, Reason: HostKeyChanged, Err: fmt.Errorf("%w: it was installed anew, or somebody else answers", err),
		Remedy: "If it was installed anew, remove the old key (ssh-keygen -R '" + known.Normalize(address) + "') and try again",
	}
}

package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// person is somebody with a home directory, who accepts hosts or does not.
type person struct {
	t      testing.TB
	home   string
	config Config
	asked  atomic.Int32
}

func newPerson(t testing.TB) *person {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	p := &person{t: t, home: t.TempDir()}
	p.config = Config{Home: p.home, KnownHosts: []string{p.file("known_hosts")}, Timeout: 5 * time.Second, FirstContact: func(context.Context, FirstContact) (bool, error) {
		p.asked.Add(1)
		return true, nil
	}}
	return p
}

func (p *person) file(name string) string { return filepath.Join(p.home, ".ssh", name) }

func (p *person) write(name, content string) {
	p.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(p.file(name)), 0o700), os.WriteFile(p.file(name), []byte(content), 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) dialer() *Dialer {
	p.t.Helper()
	d, err := NewDialer(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(d.Close)
	return d
}

func (s *server) target() Target { return Target{Name: "m1", Address: s.host, Port: s.port} }

// meeting is a server, and a person who may log in as root.
func meeting(t testing.TB) (*server, *person) {
	t.Helper()
	s, p := newServer(t), newPerson(t)
	_, key := newKey(t, p.file("id_ed25519"))
	s.allow("root", key)
	return s, p
}

// connected dials a server.
func connected(t testing.TB, s *server, p *person) *Client {
	t.Helper()
	c, err := p.dialer().Dial(t.Context(), s.target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// connects dials and makes the host say who runs what.
func connects(t testing.TB, d *Dialer, target Target, want string) {
	t.Helper()
	c, err := d.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := c.Run(t.Context(), "true", nil)
	if err != nil || string(out.Stdout) != want {
		t.Errorf("the host says %q, %v, not %q", out.Stdout, err, want)
	}
}

func fails(t testing.TB, d *Dialer, target Target, reason Reason, says ...string) {
	t.Helper()
	c, err := d.Dial(t.Context(), target)
	var e *Error
	if !errors.As(err, &e) || e.Reason != reason {
		if c != nil {
			c.Close()
		}
		t.Fatalf("connecting: %v, not because of: %s", err, reason)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

func TestLogin(t *testing.T) {
	s := newServer(t)
	s.banner = "Welcome. kubewright-agent 1\nNobody is here.\n"
	p := newPerson(t)
	_, key := newKey(t, p.file("id_ed25519"))
	s.allow("root", key)
	connects(t, p.dialer(), s.target(), "root ran true")

	_, other := newKey(t, p.file("cluster"))
	s.allow("admin", other)
	target := s.target()
	target.User, target.Key = "admin", "~/.ssh/cluster"
	connects(t, p.dialer(), target, "admin ran true")

	target.Key = "" // the key of root is no key of admin
	fails(t, p.dialer(), target, LoginRefused, "admin may not log in", p.file("id_ed25519"), "authorized_keys")
	target.Key = "~/.ssh/nowhere"
	fails(t, p.dialer(), target, Misconfigured, "~/.ssh/nowhere does not exist")
}

func TestPassphrase(t *testing.T) {
	s := newServer(t)
	p := newPerson(t)
	_, key := newKeyWith(t, p.file("id_ed25519"), "open sesame")
	s.allow("root", key)
	fails(t, p.dialer(), s.target(), LoginRefused, "it has a passphrase: add it to ssh-agent")
	asked := 0
	p.config.Passphrase = func(_ context.Context, file string) ([]byte, error) {
		asked++
		return []byte("open sesame"), nil
	}
	d := p.dialer()
	connects(t, d, s.target(), "root ran true")
	connects(t, d, s.target(), "root ran true")
	if asked != 1 {
		t.Errorf("asked %d times for one passphrase", asked)
	}

	// A slow typist who errs has time, and one who does not know it is not asked for ever.
	p.config.Timeout = 200 * time.Millisecond
	tries := []string{"open", "open sesame"}
	p.config.Passphrase = func(_ context.Context, file string) ([]byte, error) {
		<-time.After(300 * time.Millisecond)
		try := tries[0]
		tries = tries[1:]
		return []byte(try), nil
	}
	connects(t, p.dialer(), s.target(), "root ran true")
	p.config.Passphrase = func(context.Context, string) ([]byte, error) { return []byte("?"), nil }
	fails(t, p.dialer(), s.target(), LoginRefused, "wrong three times")

	// One that no host takes is not asked for at all.
	newKeyWith(t, p.file("id_rsa"), "nobody asks")
	_, other := newKey(t, p.file("id_ed25519"))
	s.allow("root", other)
	p.config.Passphrase = func(_ context.Context, file string) ([]byte, error) {
		t.Errorf("asked for the passphrase of %s", file)
		return nil, errors.New("no")
	}
	connects(t, p.dialer(), s.target(), "root ran true")
}

// More keys than a server takes.
func TestTooManyKeys(t *testing.T) {
	s := newServer(t)
	p := newPerson(t)
	config := "Host *\n"
	for i := range 8 {
		newKey(t, p.file(fmt.Sprint("k", i)))
		config += fmt.Sprintf("  IdentityFile ~/.ssh/k%d\n", i)
	}
	p.write("config", config)
	fails(t, p.dialer(), s.target(), LoginRefused, "which key to use")
}

func TestAgent(t *testing.T) {
	s := newServer(t)
	p := newPerson(t)
	_, key := newKeyWith(t, p.file("cluster"), "nobody knows")
	signer, err := os.ReadFile(p.file("cluster"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKeyWithPassphrase(signer, []byte("nobody knows"))
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { _ = agent.ServeAgent(ring, c) })
		}
	})
	p.config.Agent = l.Addr().String()
	s.allow("root", key)
	d := p.dialer()
	connects(t, d, s.target(), "root ran true")
	target := s.target()
	target.Key = "~/.ssh/cluster" // locked, but the agent holds it
	connects(t, d, target, "root ran true")
	p.write("token.pub", string(ssh.MarshalAuthorizedKey(key)))
	target.Key = "~/.ssh/token.pub" // its private half never was a file
	connects(t, d, target, "root ran true")
	d.Close()
	_ = l.Close()
	served.Wait()
}

// An agent that takes connections and says nothing.
func TestDeafAgent(t *testing.T) {
	s, p := meeting(t)
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p.config.Agent, p.config.Timeout = l.Addr().String(), time.Second
	d := p.dialer()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { connects(t, d, s.target(), "root ran true") })
	}
	wg.Wait()
}

func TestFirstContact(t *testing.T) {
	s, p := meeting(t)
	p.write("known_hosts", "other.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGo5wSxDsxaqj1JIgSnMGAu1YNSuQG8MIqeh4Yc6u9cJ") // without an end of line
	ask := p.config.FirstContact

	p.config.FirstContact = nil
	fails(t, p.dialer(), s.target(), HostKeyUnknown, ssh.FingerprintSHA256(s.key.PublicKey()), "--accept-new-host-keys", "m1 ("+s.address+")")
	p.config.FirstContact = func(_ context.Context, f FirstContact) (bool, error) {
		if f.Fingerprint != ssh.FingerprintSHA256(s.key.PublicKey()) || f.Address != s.address || f.Host != "m1" || f.KeyType != "ssh-ed25519" {
			t.Errorf("asked about %+v", f)
		}
		return false, nil
	}
	fails(t, p.dialer(), s.target(), HostKeyUnknown)
	if b, err := os.ReadFile(p.file("known_hosts")); err != nil || strings.Contains(string(b), "127.0.0.1") {
		t.Errorf("a host that was refused is known: %s, %v", b, err)
	}

	// Many connections at once ask once, and it is known for good.
	p.config.FirstContact = ask
	d := p.dialer()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { connects(t, d, s.target(), "root ran true") })
	}
	wg.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times about one host", n)
	}
	p.config.FirstContact = nil
	connects(t, p.dialer(), s.target(), "root ran true")
	if b, err := os.ReadFile(p.file("known_hosts")); err != nil || strings.Count(string(b), "\n") != 2 {
		t.Errorf("known are\n%s%v", b, err)
	}
}

// A host that answers with another key is never connected to, whatever was said about new ones.
func TestChangedHostKey(t *testing.T) {
	s, p := meeting(t)
	d := p.dialer()
	connects(t, d, s.target(), "root ran true")
	before := p.asked.Load()
	logins := 0
	s.locked(func() {
		s.key, _ = newKey(t, "")
		logins = s.logins
	})
	for _, d := range []*Dialer{p.dialer(), d} {
		fails(t, d, s.target(), HostKeyChanged, p.file("known_hosts"), "ssh-keygen -R '["+s.host+"]:"+fmt.Sprint(s.port)+"'")
	}
	s.locked(func() {
		if p.asked.Load() != before || s.logins != logins {
			t.Error("a changed key was asked about, or logged in with")
		}
	})
}

// Two answers for one address, and one of them is accepted: the other is a change, though both were unknown when they came.
func TestTwoKeysAtFirstContact(t *testing.T) {
	s, p := meeting(t)
	asked, go2 := make(chan struct{}), make(chan struct{})
	p.config.FirstContact = func(context.Context, FirstContact) (bool, error) {
		close(asked)
		<-go2
		return true, nil
	}
	d := p.dialer()
	hosts, err := d.hostKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := make(chan error, 1), make(chan error, 1)
	remote := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.port}
	go func() {
		first <- hosts.meet(t.Context(), &route{name: "m1", knownAs: s.address}, unknownKeyError{remote, s.key.PublicKey()})
	}()
	<-asked
	_, other := newKey(t, "")
	go func() {
		second <- hosts.meet(t.Context(), &route{name: "m1", knownAs: s.address}, unknownKeyError{remote, other})
	}()
	close(go2)
	if err := <-first; err != nil {
		t.Error(err)
	}
	var e *Error
	if err := <-second; !errors.As(err, &e) || e.Reason != HostKeyChanged {
		t.Errorf("the second key: %v", err)
	}
	connects(t, d, s.target(), "root ran true")
	if b, err := os.ReadFile(p.file("known_hosts")); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("known are\n%s%v", b, err)
	}
}

// Somebody else's ssh meets the host while a person compares fingerprints.
func TestKnownMeanwhile(t *testing.T) {
	s, p := meeting(t)
	_, other := newKey(t, "")
	p.config.FirstContact = func(context.Context, FirstContact) (bool, error) {
		p.write("known_hosts", fmt.Sprintf("[%s]:%d %s", s.host, s.port, ssh.MarshalAuthorizedKey(other)))
		return true, nil
	}
	fails(t, p.dialer(), s.target(), HostKeyChanged, "known_hosts:1")
}

// Whatever a known host is called, and whatever kind of key answers.
func TestKnownHostInOtherWords(t *testing.T) {
	s, p := meeting(t)
	_, other := newKey(t, "")
	p.write("known_hosts", fmt.Sprintf("[localhost]:%d %s[::1]:1 %[2]s", s.port, ssh.MarshalAuthorizedKey(other)))
	fails(t, p.dialer(), Target{Name: "m1", Address: "LocalHost", Port: s.port}, HostKeyChanged)
	p.write("known_hosts2", fmt.Sprintf("alias %s", ssh.MarshalAuthorizedKey(other)))
	p.write("config", "Host 127.0.0.1\n  UserKnownHostsFile ~/.ssh/known_hosts2\n  HostKeyAlias Alias\n")
	fails(t, p.dialer(), s.target(), HostKeyChanged, "known_hosts2:1")
	p.write("config", "Host 127.0.0.1\n  StrictHostKeyChecking yes\n")
	fails(t, p.dialer(), s.target(), HostKeyUnknown)
	p.write("config", "Host 127.0.0.1\n  UserKnownHostsFile /dev/null\n")
	fails(t, p.dialer(), s.target(), Misconfigured, "/dev/null")
	p.write("config", "Host 127.0.0.1\n  ProxyCommand nc %h %p\n")
	fails(t, p.dialer(), s.target(), Misconfigured, "ProxyJump")
	p.write("config", "")

	// Known by one kind of key, it offers another only.
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	p.write("known_hosts", fmt.Sprintf("[%s]:%d %s", s.host, s.port, ssh.MarshalAuthorizedKey(s.key.PublicKey())))
	s.locked(func() { s.key = signer })
	fails(t, p.dialer(), s.target(), HostKeyChanged, "ecdsa-sha2-nistp256", "ssh-ed25519")
	p.write("known_hosts", "")
	p.config.FirstContact = nil
	fails(t, p.dialer(), s.target(), HostKeyUnknown, "ssh_host_ecdsa_key.pub")
}

// A person takes longer over a bastion than a connection may take, and who asked first does not wait.
func TestBastionOutlivesWhoAskedFirst(t *testing.T) {
	bastion, s := newServer(t), newServer(t)
	p := newPerson(t)
	_, key := newKey(t, p.file("id_ed25519"))
	bastion.allow("jump", key)
	s.allow("root", key)
	p.config.Timeout = 200 * time.Millisecond
	asked := make(chan struct{}, 2)
	p.config.FirstContact = func(context.Context, FirstContact) (bool, error) {
		asked <- struct{}{}
		<-time.After(400 * time.Millisecond)
		return true, nil
	}
	d := p.dialer()
	target := s.target()
	target.Bastion = "jump@" + bastion.address
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := d.Dial(ctx, target); first <- err }()
	<-asked
	cancel()
	connects(t, d, target, "root ran true")
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who asked first: %v", err)
	}
	target.Bastion = "jump@" + bastion.address + ",jump@" + bastion.address
	fails(t, d, target, Misconfigured, "through itself")
	bastion.locked(func() { bastion.deaf = true })
	bastion.drop()
	target.Bastion = "jump@" + bastion.address
	fails(t, d, target, Unreachable, "the bastion jump@"+bastion.address, "said nothing")
}

func TestBastion(t *testing.T) {
	bastion, s := newServer(t), newServer(t)
	p := newPerson(t)
	_, key := newKey(t, p.file("id_ed25519"))
	bastion.allow("jump", key)
	s.allow("root", key)
	target := s.target()
	target.Bastion = "jump@" + bastion.address
	d := p.dialer()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { connects(t, d, target, "root ran true") })
	}
	wg.Wait()
	bastion.locked(func() {
		if bastion.logins != 1 || len(bastion.forwarded) < 5 || bastion.forwarded[0] != s.address {
			t.Errorf("%d logins at the bastion, which went on to %q", bastion.logins, bastion.forwarded)
		}
	})
	bastion.drop() // the next one goes through a new connection
	connects(t, d, target, "root ran true")

	target.Bastion = "nobody@" + bastion.address
	fails(t, d, target, LoginRefused, "the bastion nobody@"+bastion.address)
	target.Bastion = "jump@" + bastion.address
	target.Port = 1
	fails(t, d, target, Unreachable, "through the bastion")
}

func TestUnreachable(t *testing.T) {
	p := newPerson(t)
	newKey(t, p.file("id_ed25519"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	fails(t, p.dialer(), Target{Name: "m1", Address: "127.0.0.1", Port: address.Port}, Unreachable, "refused", "firewall")

	s := newServer(t)
	s.locked(func() { s.deaf = true })
	p.config.Timeout = 100 * time.Millisecond
	fails(t, p.dialer(), s.target(), Unreachable, "said nothing")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.dialer().Dial(ctx, s.target()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled connection: %v", err)
	}
}

// A host that says nothing any more is given up; what runs there ends with an error.
func TestHostFallsSilent(t *testing.T) {
	s, p := meeting(t)
	p.config.KeepAlive = 20 * time.Millisecond
	c := connected(t, s, p)
	s.locked(func() { s.deaf = true })
	if out, err := c.Run(t.Context(), "hang", nil); err == nil {
		t.Errorf("a command on a silent host ended: %+v", out)
	}
	<-c.Ended()
	if c.Alive() {
		t.Error("the connection is said to be alive")
	}
}

// A host that answers no questions, but talks, is there.
func TestHostIsBusy(t *testing.T) {
	s, p := meeting(t)
	p.config.KeepAlive = 50 * time.Millisecond
	c := connected(t, s, p)
	s.locked(func() { s.deaf = true })
	if out, err := c.Run(t.Context(), "talk", nil); err != nil || len(out.Stdout) != 100 {
		t.Errorf("a busy host: %d, %v", len(out.Stdout), err)
	}
}

func TestCommands(t *testing.T) {
	s, p := meeting(t)
	c := connected(t, s, p)
	if out, err := c.Run(t.Context(), "exit 7", nil); err != nil || out.Code != 7 || string(out.Stderr) != "failed" {
		t.Errorf("a command that fails: %+v, %v", out, err)
	}
	if out, err := c.Run(t.Context(), "cat", strings.NewReader("in")); err != nil || string(out.Stdout) != "in" {
		t.Errorf("cat: %+v, %v", out, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, "hang", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that hangs: %v", err)
	}
	proc, err := c.Start("cat")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(proc, "ping")
	b := make([]byte, 4)
	if _, err := proc.Read(b); err != nil || string(b) != "ping" {
		t.Errorf("it says %q, %v", b, err)
	}
	if err := proc.CloseWrite(); err != nil {
		t.Error(err)
	}
	if code, err := proc.Wait(); err != nil || code != 0 {
		t.Errorf("it ended with %d, %v", code, err)
	}
}

func TestResolve(t *testing.T) {
	p := newPerson(t)
	p.write("config", `Host web
  HostName 192.0.2.1
  User deploy
  Port 2200
  IdentityFile ~/.ssh/web
  IdentitiesOnly yes
Host inner
  ProxyJump first@192.0.2.8,192.0.2.9:2222
Host loop
  ProxyJump loop
Host locked
  IdentityAgent none
Host *.example
  User all
`)
	s, err := readSettings(p.file("config"))
	if err != nil {
		t.Fatal(err)
	}
	exists := func(file string) bool {
		return slices.Contains([]string{"/home/.ssh/web", "/home/.ssh/id_rsa", "/keys/k"}, file)
	}
	show := func(r *route) string {
		var b strings.Builder
		for ; r != nil; r = r.via {
			fmt.Fprintf(&b, "%s@%s keys=%s only=%t agent=%s; ", r.user, r.address, strings.Join(r.keys, ","), r.only, r.agent)
		}
		return strings.TrimSuffix(b.String(), "; ")
	}
	for _, c := range []struct {
		target Target
		want   string
	}{
		{Target{Address: "192.0.2.7"}, "root@192.0.2.7:22 keys=/home/.ssh/id_rsa only=false agent=/agent"},
		{Target{Address: "web"}, "deploy@192.0.2.1:2200 keys=/home/.ssh/web,/home/.ssh/id_rsa only=true agent=/agent"},
		{Target{Address: "web", User: "u", Port: 1, Key: "/keys/k"}, "u@192.0.2.1:1 keys=/keys/k only=true agent=/agent"},
		{Target{Address: "a.example"}, "all@a.example:22 keys=/home/.ssh/id_rsa only=false agent=/agent"},
		{Target{Address: "locked"}, "root@locked:22 keys=/home/.ssh/id_rsa only=false agent="},
		{Target{Address: "fd00:0::1", Bastion: "[fd00::2]:2200"}, "root@[fd00::1]:22 keys=/home/.ssh/id_rsa only=false agent=/agent; root@[fd00::2]:2200 keys=/home/.ssh/id_rsa only=false agent=/agent"},
		{Target{Address: "inner"}, "root@inner:22 keys=/home/.ssh/id_rsa only=false agent=/agent; root@192.0.2.9:2222 keys=/home/.ssh/id_rsa only=false agent=/agent; first@192.0.2.8:22 keys=/home/.ssh/id_rsa only=false agent=/agent"},
	} {
		r, err := resolve(c.target, s, "/home", "/agent", exists)
		if err != nil || show(r) != c.want {
			t.Errorf("%+v is reached as\n%s, %v, not as\n%s", c.target, show(r), err, c.want)
		}
	}
	for _, bad := range []Target{{Address: "loop"}, {Address: "x", Bastion: "a@"}, {Address: "x", Bastion: "a:b"}, {Address: "x", Key: "/keys/none"}} {
		if r, err := resolve(bad, s, "/home", "", exists); err == nil {
			t.Errorf("%+v is reached as %s", bad, show(r))
		}
	}

	// What is not understood is said, and not used.
	p.write("config", "Match exec true\n  User y\n")
	var said []string
	p.config.Notice = func(m string) { said = append(said, m) }
	p.dialer()
	if len(said) != 1 || !strings.Contains(said[0], "is not used") {
		t.Errorf("it says %q", said)
	}
}

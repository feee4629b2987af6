package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/internal/ssh"
)

// host is an sshd on loopback that runs commands, in a directory and with few programs. Its user is not root, says its program id: LaunchOptions have to
// have noSelf, or the kernel would be asked, which knows who runs the test.
type host struct {
	t     *testing.T
	dir   string
	shell string // the login shell
	c     *ssh.Client

	mu     sync.Mutex
	tokens []string // of starts
}

// noSelf is a file that is not there.
const noSelf = "/proc/none"

func newHost(t *testing.T, more ...string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), shell: "/bin/sh"}
	h.script("id", "echo 1000")
	for _, tool := range append([]string{"sh", "uname", "mkdir", "rm", "grep", "stat", "chmod", "head", "wc", "cat", "sleep"}, more...) {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(h.dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "key"), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	config := &xssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer func() { _ = conn.Close() }()
				_, channels, requests, err := xssh.NewServerConn(conn, config)
				if err != nil {
					return // the first contact
				}
				served.Go(func() { xssh.DiscardRequests(requests) })
				for ch := range channels {
					served.Go(func() { h.session(ch) })
				}
			})
		}
	})
	dialer, err := ssh.NewDialer(ssh.Config{
		Home: h.dir, KnownHosts: []string{filepath.Join(h.dir, "known_hosts")}, Agent: ssh.NoAgent,
		FirstContact: func(context.Context, ssh.FirstContact) (bool, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.c, err = dialer.Dial(t.Context(), ssh.Target{Name: "h", Address: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Key: filepath.Join(h.dir, "key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.c.Close()
		dialer.Close()
		_ = listener.Close()
		served.Wait()
		for _, token := range h.tokens {
			for _, dir := range []string{"/var/tmp", "/tmp", h.dir, "/dev/shm"} {
				if left, err := filepath.Glob(dir + "/" + scratch + "*-" + token); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			}
		}
	})
	return h
}

// session runs one command.
func (h *host) session(n xssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	r := <-requests
	go xssh.DiscardRequests(requests)
	command := string(r.Payload[4:])
	if _, after, ok := strings.Cut(command, "'t="); ok {
		token, _, _ := strings.Cut(after, ";")
		h.mu.Lock()
		h.tokens = append(h.tokens, token)
		h.mu.Unlock()
	}
	cmd := exec.Command(h.shell, "-c", command)
	cmd.Dir, cmd.Env = h.dir, []string{"PATH=" + h.dir, "HOME=" + h.dir}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	_ = r.Reply(err == nil, nil)
	if err != nil {
		h.t.Error(err)
		return
	}
	go func() { // ends with the channel
		_, _ = io.Copy(stdin, ch)
		_ = stdin.Close()
	}()
	code := uint32(0)
	if exit, ok := errors.AsType[*exec.ExitError](cmd.Wait()); ok {
		code = uint32(exit.ExitCode())
	}
	_, _ = ch.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, code))
}

// script puts a program there.
func (h *host) script(name, content string) string {
	h.t.Helper()
	file := filepath.Join(h.dir, name)
	// A process that another test starts meanwhile would have the file open for writing, and nobody could execute it (go.dev/issue/22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+content+"\n"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	return file
}

// These stand for sudo. What they are called with is: -S -p PROMPT -- PROGRAM….
const (
	sudoFree   = `shift 4; exec "$@"`
	sudoWants  = `for try in 1 2; do printf %s "$3" >&2; read -r password; [ "$password" = secret-1 ] && { shift 4; exec "$@"; }; echo Sorry, try again. >&2; done; exit 1`
	sudoAnswer = `echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1`
)

// agentEchoes stands for the agent.
const agentEchoes = `echo hello >&2; echo; echo "` + Magic + ` $2"; exec cat`

// program is a script that is uploaded as the agent.
func (h *host) program(content string) *Binary {
	h.t.Helper()
	f, err := os.Open(h.script("program", content))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = f.Close() })
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		h.t.Fatal(err)
	}
	return &Binary{Digest: hex.EncodeToString(hash.Sum(nil)), Size: size, Platform: runtime.GOOS + "/" + runtime.GOARCH, file: f}
}

func (h *host) launch(b *Binary, password []byte) (*Stream, error) {
	h.t.Helper()
	return Launch(h.t.Context(), h.c, LaunchOptions{
		Host: "h", Binary: b, Patience: 2 * time.Second, self: noSelf,
		SudoPassword: func(context.Context, string) ([]byte, error) { return password, nil },
	})
}

// secret is the password that sudoWants.
func (h *host) secret(context.Context, string) ([]byte, error) { return []byte("secret-1"), nil }

// echoes checks that a stream leads to agentEchoes and ends with it.
func (h *host) echoes(s *Stream, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Error(err)
		return
	}
	sent := make([]byte, 1<<20)
	_, _ = rand.Read(sent)
	go func() { _, _ = s.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, sent) {
		h.t.Errorf("what comes back is something else: %v", err)
	}
	if !strings.HasSuffix(s.Stderr(), "hello") {
		h.t.Errorf("it says %q", s.Stderr())
	}
	if err := s.Close(); err != nil {
		h.t.Error(err)
	}
	if _, err := s.Read(got); err == nil {
		h.t.Error("it can be read after Close")
	}
	select {
	case <-s.Ended():
	case <-time.After(20 * time.Second):
		h.t.Error("it does not end")
	}
}

func TestLaunchThroughOddities(t *testing.T) {
	for name, each := range map[string]struct {
		shell, sudo string
		tools       []string
	}{
		"plain":            {sudo: sudoFree},
		"compressed":       {sudo: sudoFree, tools: []string{"gzip", "sha256sum"}},
		"password":         {sudo: sudoWants, tools: []string{"gzip"}},
		"banner":           {sudo: sudoWants, shell: `for i in 1 2 3 4 5 6 7 8 9; do cat /etc/passwd; done; printf "no end of line"; exec sh "$@"`},
		"commands shown":   {sudo: sudoWants, shell: `echo "$@"; echo "$@" >&2; exec sh -x "$@"`},
		"commands inside":  {sudo: sudoFree, shell: `echo "$@" >&2; exec sh -x "$@"`},
		"lecture":          {sudo: `echo "We trust you have received the usual lecture" >&2; ` + sudoWants},
		"prompt decorated": {sudo: `printf "[sudo: %s] Password: " "$3" >&2; read -r p; shift 4; exec "$@"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, each.tools...)
			h.script("sudo", each.sudo)
			if each.shell != "" {
				h.shell = h.script("shell", each.shell)
			}
			password := []byte("secret-1\n")
			h.echoes(h.launch(h.program(agentEchoes), password))
			if strings.Contains(each.sudo, "read") != (string(password) == strings.Repeat("\x00", len(password))) {
				t.Errorf("after the launch the password is %q", password)
			}
		})
	}
}

// A large program goes in parts.
func TestLaunchInParts(t *testing.T) {
	for _, tools := range [][]string{{"sha256sum"}, {"gzip", "sha256sum"}} {
		t.Run(strings.Join(tools, " "), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, tools...)
			h.script("sudo", sudoFree)
			noise := make([]byte, 2*uploadPart) // in hexadecimal it compresses by half
			_, _ = rand.Read(noise)
			h.echoes(h.launch(h.program(agentEchoes+"\nexit\n# "+hex.EncodeToString(noise)), nil))
			whole := strings.Repeat("#", uploadPart-len("#!/bin/sh\n\n")-len(agentEchoes+"\nexit\n"))
			h.echoes(h.launch(h.program(agentEchoes+"\nexit\n"+whole), nil)) // exactly one part, if it is not compressed
		})
	}
}

// Several at once must not take each other's directories for forgotten ones.
func TestLaunchAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, "gzip")
	h.script("sudo", sudoWants)
	b := h.program(agentEchoes)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { h.echoes(h.launch(b, []byte("secret-1"))) })
	}
	all.Wait()
}

func TestLaunchFails(t *testing.T) {
	for name, each := range map[string]struct {
		shell, sudo, program, password string
		change                         func(*Binary)
		reason                         Reason
		says                           string
	}{
		"wrong password":      {sudo: sudoWants, password: "secret-2", reason: WrongPassword},
		"no password":         {sudo: sudoWants, reason: NoPassword, says: "NOPASSWD"},
		"an empty line":       {sudo: sudoWants, password: "\n", reason: NoPassword},
		"terminal":            {sudo: sudoAnswer, reason: Terminal, says: "requiretty"},
		"no sudo":             {reason: NoSudo, says: "not installed"},
		"platform":            {sudo: sudoFree, change: func(b *Binary) { b.Platform = "linux/other" }, reason: WrongPlatform, says: "linux/other"},
		"other content":       {sudo: sudoFree, change: func(b *Binary) { b.Digest = strings.Repeat("0", 64) }, reason: UploadCut, says: "is not what was sent"},
		"no room":             {sudo: sudoFree, change: func(b *Binary) { b.Size = 1 << 60 }, reason: NoRoom, says: "/var/tmp ("},
		"crash":               {sudo: sudoFree, program: `printf 'panic: \033[31mboom\n' >&2; exit 3`, reason: NotStarted, says: "exit code 3; it said: panic: [31mboom"},
		"silence":             {sudo: sudoFree, program: "exec cat >/dev/null", reason: NotStarted, says: "nothing came for 2s"},
		"something else":      {sudo: sudoFree, program: "while echo yes; do :; done", reason: NotStarted, says: "it printed: yes"},
		"nologin":             {shell: "echo This account is currently not available.; exit 1", reason: NoShell, says: "account is currently not available. Log in"},
		"a shell that waits":  {shell: "exec sleep 5", reason: NoShell, says: "nothing came for 2s"},
		"a terminal between":  {sudo: sudoFree, program: `printf "\n` + Magic + ` $2\r\n"; exec cat`, reason: Terminal},
		"another token":       {sudo: sudoFree, program: `echo "` + Magic + ` 0123"`, reason: NotStarted, says: "exit code 0"},
		"sudo asks otherwise": {sudo: `printf "Verification code: " >&2; read -r code`, reason: NotStarted, says: "it said: Verification code:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "sha256sum")
			if each.sudo != "" {
				h.script("sudo", each.sudo)
			}
			if each.shell != "" {
				h.shell = h.script("shell", each.shell)
			}
			b := h.program(each.program)
			if each.change != nil {
				each.change(b)
			}
			s, err := h.launch(b, []byte(each.password))
			failed, ok := errors.AsType[*LaunchError](err)
			if s != nil || !ok || failed.Reason != each.reason || !strings.Contains(err.Error(), each.says) {
				t.Errorf("%v; want %s and %q", err, each.reason, each.says)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\x1b\r")) {
				t.Errorf("it shows what it must not: %q", err)
			}
		})
	}
}

// An agent that reads nothing makes nobody wait who closes the stream.
func TestLaunchedDeaf(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.script("sudo", sudoFree)
	s, err := h.launch(h.program(`echo; echo "`+Magic+` $2"; exec sleep 3`), nil)
	if err != nil {
		t.Fatal(err)
	}
	full := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Write(make([]byte, 1<<20)); err != nil {
				full <- err
				return
			}
		}
	}()
	select {
	case err := <-full:
		t.Fatalf("before it was closed: %v", err)
	case <-time.After(300 * time.Millisecond): // the window is full by now; if it is not, this test finds less
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-full:
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	case <-time.After(2 * time.Second):
		t.Error("a write goes on after Close")
	}
}

// An agent that crashes is explained by what it said.
func TestLaunchedCrash(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.script("sudo", sudoFree)
	s, err := h.launch(h.program(`echo; echo "`+Magic+` $2"; printf last; i=0; while [ $i -lt 2000 ]; do echo "panic $i" >&2; i=$((i+1)); done; exit 3`), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if rest, err := io.ReadAll(s); err != nil || string(rest) != "last" {
		t.Errorf("it said %q, %v", rest, err)
	}
	if said := s.Stderr(); !strings.HasSuffix(said, "\npanic 1999") || len(said) > 1000 {
		t.Errorf("it is explained by %q", said)
	}
	<-s.Ended()
	if code, err := s.Code(); code != 3 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
}

func TestLaunchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.script("sudo", sudoFree)
	ctx, cancel := context.WithCancel(t.Context())
	b := h.program("echo > started; exec cat >/dev/null")
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, err := os.Stat(filepath.Join(h.dir, "started")); err != nil && t.Context().Err() == nil; _, err = os.Stat(filepath.Join(h.dir, "started")) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	})
	start := time.Now()
	if _, err := Launch(ctx, h.c, LaunchOptions{Host: "h", Binary: b, self: noSelf}); !errors.Is(err, context.Canceled) || time.Since(start) > 4*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	wg.Wait()
}

// A login shell of any kind has to read a command as it is meant.
func TestStartCommand(t *testing.T) {
	b := &Binary{Digest: strings.Repeat("a", 64), Size: 5}
	for _, p := range []probed{{uid: 0, dir: "/tmp"}, {uid: 5, dir: "/tmp", gzip: true}} {
		token := newToken()
		command := startCommand(b, p, token, 4)
		inner, ok := strings.CutPrefix(command, "/bin/sh -c '")
		inner, end := strings.CutSuffix(inner, "'")
		if !ok || !end || strings.ContainsAny(inner, "'\\!\n") {
			t.Errorf("a shell may read this otherwise: %s", command)
		}
		if strings.Contains(command, promptFor(token)) || strings.Contains(command, magicLine(token)) || strings.Contains(command, token+" ") {
			t.Errorf("a shell that shows this would be taken for somebody else: %s", command)
		}
		if sudo := strings.Contains(command, "sudo"); sudo != (p.uid != 0) {
			t.Errorf("sudo for %d: %s", p.uid, command)
		}
		if out, err := exec.Command("/bin/sh", "-n", "-c", inner).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", inner, err, out)
		}
	}
}

func TestSudoRefusals(t *testing.T) {
	for said, want := range map[string]Reason{
		"sudo: sorry, you must have a tty to run sudo":                                                 Terminal,
		"Sorry, user x is not allowed to execute '/x' as root on h.":                                   NotSudoer,
		"x is not in the sudoers file.\nThis incident has been reported to the administrator.":         NotSudoer,
		"Sorry, user x may not run sudo on h.":                                                         NotSudoer,
		"x is not allowed to run sudo on h.":                                                           NotSudoer,
		"sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set":                       NoSudo,
		"sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set": NoSudo,
		"sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.":       NoSudo,
		"Sorry, try again.\nsudo: 3 incorrect password attempts":                                       WrongPassword,
		"sudo: unable to resolve host h: Name or service not known":                                    "",
		"We trust you have received the usual lecture from the local System\nAdministrator.":           "",
		"sudo: /var/lib/kubewright/agent/0000: command not found":                                      "",
	} {
		if got, what, _ := sudoRefusal(said); got != want || (got != "" && what == "") {
			t.Errorf("%q is %q (%q), want %q", said, got, what, want)
		}
	}
}

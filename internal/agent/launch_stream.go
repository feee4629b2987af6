package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/kubewright/kubewright/internal/ssh"
)

// Bounds of what a host is listened to.
const (
	maxNoise  = 64 << 10 // bytes on standard output before an agent
	keptNoise = 4 << 10  // of these, the last are kept for messages
	keptErrs  = 8 << 10  // bytes of standard error that are kept, the last
)

// Why nothing more is heard of a command.
var (
	errEnded     = errors.New("it ended")
	errLost      = errors.New("the connection ended")
	errSilent    = errors.New("nothing came")
	errTalkative = errors.New("it says more than anybody would read")
)

// process is a command on a host, both of whose outputs are read. Its goroutines end with the command, or with the connection at the latest: sshd
// does not end a session before its command has ended.
type process struct {
	p        *ssh.Process
	out      chan []byte   // standard output; closed at its end, when standard error has ended, too
	heardErr chan struct{} // something was said on standard error
	closed   chan struct{} // nobody listens any more
	close    sync.Once
	ended    chan struct{} // the command has ended

	mu     sync.Mutex
	stderr []byte // the last of standard error

	code int   // valid when ended
	err  error // likewise
}

func startProcess(c *ssh.Client, command string) (*process, error) {
	p, err := c.Start(command)
	if err != nil {
		return nil, err
	}
	r := &process{p: p, out: make(chan []byte), heardErr: make(chan struct{}, 1), closed: make(chan struct{}), ended: make(chan struct{})}
	errsEnded := make(chan struct{})
	go func() {
		defer close(errsEnded)
		b := make([]byte, 4<<10)
		for {
			n, err := p.Stderr.Read(b)
			r.mu.Lock()
			r.stderr = append(r.stderr, b[:n]...)
			r.stderr = r.stderr[max(0, len(r.stderr)-keptErrs):]
			r.mu.Unlock()
			select {
			case r.heardErr <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(r.out)
		defer func() { <-errsEnded }() // who is told of the end wants to know why
		b := make([]byte, 32<<10)
		for {
			n, err := p.Read(b)
			if n > 0 {
				select {
				case r.out <- bytes.Clone(b[:n]):
				case <-r.closed:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		r.code, r.err = p.Wait()
		close(r.ended)
	}()
	return r, nil
}

// Close ends the command's standard input and forgets about it.
func (r *process) Close() error {
	r.close.Do(func() {
		close(r.closed)
		_ = r.p.Close()
	})
	return nil
}

// Stderr is the last that the command said on its standard error, for people: some lines, printable.
func (r *process) Stderr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return printable(r.stderr)
}

// Stream is what passes to and from an agent. One goroutine may read while another one writes. Close ends both.
type Stream struct {
	process *process
	rest    []byte // was read, and not asked for yet
	writes  chan []byte
	written chan error // what became of each
}

func newStream(p *process, rest []byte) *Stream {
	s := &Stream{process: p, rest: rest, writes: make(chan []byte), written: make(chan error, 1)}
	go s.write()
	return s
}

// write writes what Write takes. An agent that reads nothing stops it, and closing the session does not help as long as that runs, so nobody but this
// goroutine waits. It ends with the stream and the agent, or with the connection at the latest.
func (s *Stream) write() {
	for {
		select {
		case b := <-s.writes:
			_, err := s.process.p.Write(b)
			s.written <- err
		case <-s.process.closed:
			return
		case <-s.process.ended:
			return
		}
	}
}

// Read reads from the agent. At the end, Stderr has all that the agent said.
func (s *Stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		select {
		case rest, ok := <-s.process.out:
			if !ok {
				return 0, io.EOF
			}
			s.rest = rest
		case <-s.process.closed:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Write writes to the agent.
func (s *Stream) Write(b []byte) (int, error) {
	select {
	case s.writes <- bytes.Clone(b): // which may be kept when this returns
	case <-s.process.closed:
		return 0, io.ErrClosedPipe
	case <-s.process.ended:
		return 0, io.EOF
	}
	select {
	case err := <-s.written:
		if err != nil {
			return 0, err
		}
		return len(b), nil
	case <-s.process.closed:
		return 0, io.ErrClosedPipe
	}
}

// Close ends the stream, and the agent by that: it finishes what it has in hand. Close does not wait for it.
func (s *Stream) Close() error { return s.process.Close() }

// Stderr is the last that the agent said beside the protocol, for people: some lines, printable. It tells why an agent crashed.
func (s *Stream) Stderr() string { return s.process.Stderr() }

// Ended is closed when the agent and what started it there have ended, or the connection.
func (s *Stream) Ended() <-chan struct{} { return s.process.ended }

// Code is the exit code that the agent ended with by itself, or an error if it is not known. Ended must be closed.
func (s *Stream) Code() (int, error) { return s.process.code, s.process.err }

// conversation is a process that is listened to line by line, until it becomes a stream.
type conversation struct {
	*process
	o        LaunchOptions
	token    string // begins lines that are for Kubewright
	prompt   string // of sudo; none if empty
	prompted bool   // sudo has asked, and got an answer

	buffer []byte // of standard output, after the last line
	noise  []byte // the last of the lines
	heard  int    // bytes of lines

	part    chan struct{} // the last part of an upload was taken
	sent    atomic.Int64  // bytes that were uploaded
	sending int64         // of so many; 0 where nothing is uploaded
}

func converse(ctx context.Context, c *ssh.Client, command, token string, o LaunchOptions) (*conversation, error) {
	type started struct {
		p   *process
		err error
	}
	done := make(chan started, 1)
	go func() { // ends with the connection at the latest
		p, err := startProcess(c, command)
		if err == nil && ctx.Err() != nil {
			_ = p.Close()
		}
		done <- started{p, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case s := <-done:
		if s.err != nil {
			return nil, &LaunchError{Host: o.Host, Reason: NotStarted, Err: s.err, Remedy: "Does sshd there allow sessions (MaxSessions), and commands?"}
		}
		return &conversation{process: s.p, o: o, token: token, part: make(chan struct{}, 1)}, nil
	}
}

// next is the next line that the host says. Meanwhile it gives sudo the password.
func (v *conversation) next(ctx context.Context) (string, error) {
	const interval = time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	idle, sent := time.Duration(0), v.sent.Load()
	for {
		if line, rest, ok := bytes.Cut(v.buffer, []byte("\n")); ok {
			v.buffer = rest
			v.heard += len(line) + 1
			if !bytes.HasPrefix(line, []byte(v.token)) {
				v.noise = append(append(v.noise, line...), '\n')
				v.noise = v.noise[max(0, len(v.noise)-keptNoise):]
			}
			return string(line), nil
		}
		if v.heard+len(v.buffer) > maxNoise {
			return "", errTalkative
		}
		select {
		case b, ok := <-v.out:
			if !ok {
				return "", v.waitEnd(ctx)
			}
			v.buffer = append(v.buffer, b...)
		case <-v.heardErr:
			asked, err := v.answer(ctx)
			if err != nil {
				return "", err
			}
			if asked {
				idle = 0
			}
		case <-tick.C:
			idle += interval
			if now := v.sent.Load(); now != sent {
				idle, sent = 0, now
				if v.sending > 0 && now < v.sending {
					v.o.Progress(fmt.Sprintf("uploading the agent: %s of %s", megabytes(now), megabytes(v.sending)))
				}
			}
			if idle >= v.o.Patience {
				return "", errSilent
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// waitEnd waits for the exit code of a command whose output has ended.
func (v *conversation) waitEnd(ctx context.Context) error {
	select {
	case <-v.ended:
		if v.err != nil { // every command that ends has an exit code
			return errLost
		}
		return errEnded
	case <-time.After(v.o.Patience):
		return errSilent
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer gives sudo the password if it waits for it: what it said last is the prompt, in a line that has not ended.
func (v *conversation) answer(ctx context.Context) (asked bool, err error) {
	v.mu.Lock()
	last := v.stderr[bytes.LastIndexByte(v.stderr, '\n')+1:]
	waits := v.prompt != "" && bytes.Contains(last, []byte(v.prompt))
	if waits { // so it is found once, and is nothing for people
		v.stderr = append(v.stderr[:len(v.stderr)-len(last)], '\n')
	}
	v.mu.Unlock()
	switch {
	case !waits:
		return false, nil
	case v.prompted:
		return true, v.fails(WrongPassword, errors.New("sudo did not take the password"), "Give the password that the user has there")
	case v.o.SudoPassword == nil:
		return true, v.noPassword()
	}
	password, err := v.o.SudoPassword(ctx, v.o.Host)
	defer clear(password)
	if err != nil {
		return true, err
	}
	line := append(make([]byte, 0, len(password)+1), bytes.TrimRight(password, "\r\n")...)
	defer clear(line[:cap(line)])
	if len(line) == 0 {
		return true, v.noPassword()
	}
	v.prompted = true
	if _, err := v.p.Write(append(line, '\n')); err != nil && !errors.Is(err, io.EOF) { // it ended: next finds out why
		return true, fmt.Errorf("giving sudo the password: %w", err)
	}
	return true, nil
}

func (v *conversation) noPassword() error {
	return v.fails(NoPassword, errors.New("sudo wants the user's password"), "Give it, let the user run sudo without (NOPASSWD), or log in as root")
}

// uploadPart is how many bytes of an upload are on their way at a time.
const uploadPart = 512 << 10

// send writes a script to a shell's standard input, which stays open. What goes wrong is found by who reads it there.
func (v *conversation) send(script string) {
	go func() { _, _ = io.WriteString(v.p, script) }() // ends with the session
}

// upload writes content to the command's standard input, and waits for taken after each part of it. What goes wrong is found by who reads it there.
func (v *conversation) upload(content io.Reader, size int64) {
	v.sending = size
	go func() { // ends with the session
		b := make([]byte, 64<<10)
		for {
			n, err := io.ReadFull(content, b)
			if _, failed := v.p.Write(b[:n]); failed != nil {
				return
			}
			if sent := v.sent.Add(int64(n)); n > 0 && sent%uploadPart == 0 {
				select {
				case <-v.part:
				case <-v.closed:
					return
				case <-v.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
}

// taken lets the next part of an upload follow.
func (v *conversation) taken() {
	select {
	case v.part <- struct{}{}:
	default: // a host says that it took more than it got; who compares sizes finds out
	}
}

// stream is the rest of the conversation.
func (v *conversation) stream() *Stream { return newStream(v.process, v.buffer) }

func (v *conversation) fails(reason Reason, err error, remedy string) error {
	return &LaunchError{Host: v.o.Host, Reason: reason, Err: err, Remedy: remedy}
}

// how says for people how a command ended, or did not.
func (v *conversation) how(err error) error {
	switch {
	case errors.Is(err, errEnded):
		return fmt.Errorf("%w with exit code %d", errEnded, v.code)
	case errors.Is(err, errSilent):
		return fmt.Errorf("%w for %s", errSilent, v.o.Patience)
	}
	return err
}

// said is what the host said, for people, to be put behind a message.
func (v *conversation) said() string {
	var s string
	if errs := v.Stderr(); errs != "" {
		s += "; it said: " + errs
	}
	if out := printable(append(bytes.Clone(v.noise), v.buffer...)); out != "" {
		s += "; it printed: " + out
	}
	return s
}

// maxLines is how many lines of what a host said are shown.
const maxLines = 8

// printable makes the last lines of something that a host said fit for a message: without what moves cursors, and not long.
func printable(b []byte) string {
	var lines []string
	for line := range strings.Lines(string(bytes.ToValidUTF8(b, []byte("?")))) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			switch {
			case r == '\t':
				return ' '
			case !unicode.IsPrint(r):
				return -1
			}
			return r
		}, line))
		if r := []rune(line); len(r) > 300 {
			line = string(r[:300]) + "…"
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-maxLines):], "\n")
}

package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/ssh"
)

// Magic begins the line after which an agent's standard output is the protocol. The token that the agent was started with ends it, so nothing that a
// host says by itself can be taken for it.
const Magic = "kubewright-agent 1"

// Home is where the agent's program stays on hosts, named by its digest, for the next run. It holds nothing else, and may go with everything that
// Kubewright put on a host.
const Home = Dir + "/agent"

// scratch begins the names of directories that programs are uploaded to, and of nothing else. The process that uploads follows, then the token.
const scratch = ".kubewright-agent-"

// LaunchOptions are how an agent is started.
type LaunchOptions struct {
	Host   string  // for messages
	Binary *Binary // to run there
	// SudoPassword is asked for the password that sudo wants of the user who logged in, once for each start; nil or no bytes: there is none. The bytes
	// are wiped when they were used.
	SudoPassword func(ctx context.Context, host string) ([]byte, error)
	// Progress is told what takes longer than a moment; may be nil.
	Progress func(message string)
	// Patience is how long a host may say nothing; 30 s if 0. The time that a person takes for a password is not counted.
	Patience time.Duration

	home string // where the program is in place; Home if empty
	self string // what says whose process the shell is; /proc/self/status if empty
}

// Launch starts an agent on a host, as root, and returns the stream to it. The agent ends when the stream does.
//
// What fails is a *LaunchError, unless the context ended.
func Launch(ctx context.Context, c *ssh.Client, o LaunchOptions) (*Stream, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.home == "" {
		o.home = Home
	}
	if o.self == "" {
		o.self = "/proc/self/status"
	}
	host, stream, err := probe(ctx, c, o, false)
	// What is in place may have been removed since, by the agent of another version, or be broken in a way that its size does not show.
	if refused, ok := errors.AsType[*LaunchError](err); ok && host.runs && refused.Reason == NotStarted && errors.Is(err, errEnded) {
		o.Progress("the agent in place does not start: uploading it again")
		host, stream, err = probe(ctx, c, o, true)
	}
	if err != nil || stream != nil {
		return stream, err
	}
	return start(ctx, c, o, host)
}

// start uploads the program and runs it, in one session, so that what was uploaded lies there no longer than it is run.
func start(ctx context.Context, c *ssh.Client, o LaunchOptions, host probed) (*Stream, error) {
	token := newToken()
	content, size, err := o.Binary.content(host.gzip)
	if err != nil {
		return nil, &LaunchError{Host: o.Host, Reason: NotStarted, Err: err}
	}
	v, err := converse(ctx, c, startCommand(o.Binary, host, token, size), token, o)
	if err != nil {
		return nil, err
	}
	if host.uid != 0 {
		v.prompt = promptFor(token)
	}
	var up progress
	for {
		line, err := v.next(ctx)
		if err != nil {
			_ = v.Close()
			return nil, v.explain(host, up, err)
		}
		if stream, err := v.begins(line); stream != nil || err != nil {
			return stream, err
		}
		switch {
		case line == token+" ready":
			o.Progress(fmt.Sprintf("uploading the agent to %s (%s)", host.dir, megabytes(size)))
			up = uploading
			v.upload(content, size)
		case line == token+" part":
			v.taken()
		case line == token+" cut":
			up = cut
		case line == token+" uploaded":
			up = uploaded
		}
	}
}

// begins returns the stream to the agent if that begins with a line.
func (v *conversation) begins(line string) (*Stream, error) {
	switch line {
	case magicLine(v.token):
		return v.stream(), nil
	case magicLine(v.token) + "\r":
		_ = v.Close()
		return nil, v.fails(Terminal, errors.New("something puts a terminal between Kubewright and the agent, which changes what passes"),
			"Remove what does so there: a ForceCommand or an odd login shell")
	}
	return nil, nil
}

// progress is how far an upload is.
type progress int

const (
	none progress = iota // or there is none
	uploading
	cut // it did not come over as a whole
	uploaded
)

func newToken() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func magicLine(token string) string { return Magic + " " + token }

// promptFor is what sudo asks for a password with. The command that starts sudo does not contain it in one piece, so a login shell that shows what it
// runs is not taken for sudo.
func promptFor(token string) string { return "kubewright-" + token + "-password" }

// startCommand is the command, for any login shell: what is within single quotes means the same to all of them as long as it has no single quotes,
// backslashes, exclamation marks and line ends.
func startCommand(b *Binary, host probed, token string, size int64) string {
	run := "$d/kubewright agent $t"
	if host.uid != 0 {
		run = "sudo -S -p kubewright-$t-password: -- " + run
	}
	// sudo's messages are looked at, so they are to be English.
	head := "t=" + token + "; LC_ALL=C; export LC_ALL; "
	unpack := ""
	if host.gzip {
		unpack = "| gzip -dc "
	}
	// Part by part, each sent when the one before was taken: what sshd cannot pass on at once it copies again with all that comes after (OpenSSH 9.2), which
	// takes a small host longer than all the rest. So it does not matter either whether head reads ahead: nothing more is there to be read.
	receive := fmt.Sprintf("{ { n=%d; while [ $n -gt 0 ]; do head -c %d; echo >&3; echo $t part >&3; n=$((n-1)); done; head -c %d; } %s>$d/kubewright; } 3>&1",
		size/uploadPart, uploadPart, size%uploadPart, unpack)
	return "/bin/sh -c '" + head + strings.Join([]string{
		"umask 077",
		"d=" + host.dir + "/" + scratch + "$$-$t",
		"mkdir $d || exit 1",
		`trap "rm -rf $d" 0; trap "exit 1" 1 2 13 15`,
		"echo; echo $t ready",
		receive,
		fmt.Sprintf("[ $(wc -c <$d/kubewright) -eq %d ] || { echo; echo $t cut; exit 1; }", b.Size),
		// What came over SSH is what was sent, so this finds broken disks only, and may be passed over where sha256sum is not there.
		"h=$(sha256sum <$d/kubewright 2>/dev/null)",
		fmt.Sprintf(`case "$h" in ""|%s*) ;; *) echo; echo $t cut; exit 1;; esac`, b.Digest),
		"chmod 700 $d/kubewright",
		"echo; echo $t uploaded",
		// Not by exec: this shell removes the directory when the agent has ended, however it did.
		run,
	}, "; ") + "'"
}

// Reason is why an agent cannot be started.
type Reason string

// The reasons.
const (
	NoShell       Reason = "no shell"        // the user's login shell does not run commands
	WrongPlatform Reason = "wrong platform"  // the program is for another
	NoSudo        Reason = "no sudo"         // it is not there, or does not work at all
	NotSudoer     Reason = "not a sudoer"    // the user may not become root by it
	NoPassword    Reason = "password wanted" // by sudo, and there is none
	WrongPassword Reason = "wrong password"  // for sudo
	Terminal      Reason = "terminal wanted" // by sudo, or one is between
	NoRoom        Reason = "no room"         // for the program
	NoExec        Reason = "noexec"          // no directory that programs may be started from
	UploadCut     Reason = "upload cut"      // the program did not come over as a whole
	NotStarted    Reason = "not started"     // the program ended or said nothing
)

// LaunchError is why an agent cannot be started, and what to do.
type LaunchError struct {
	Host   string
	Reason Reason
	Err    error
	Remedy string
}

func (e *LaunchError) Error() string {
	s := fmt.Sprintf("%s: starting the agent: %s: %v", e.Host, e.Reason, e.Err)
	if e.Remedy != "" {
		s = strings.TrimSuffix(s, ".") + ". " + e.Remedy
	}
	return s
}

func (e *LaunchError) Unwrap() error { return e.Err }

// explain says why a start ended without an agent.
func (v *conversation) explain(host probed, up progress, err error) error {
	if failed, ok := errors.AsType[*LaunchError](err); ok {
		return failed
	}
	switch {
	case errors.Is(err, errLost) && up == uploading:
		return v.fails(UploadCut, fmt.Errorf("%w when %s of %s were sent", err, megabytes(v.sent.Load()), megabytes(v.sending)), "Try again")
	case errors.Is(err, errLost):
		return v.fails(NotStarted, err, "Try again")
	case !errors.Is(err, errEnded) && !errors.Is(err, errSilent) && !errors.Is(err, errTalkative):
		return err // of the context
	}
	said := v.Stderr()
	if host.uid != 0 {
		if reason, what, remedy := sudoRefusal(said); reason != "" {
			return v.fails(reason, errors.New(what), remedy)
		}
	}
	all := v.said()
	full := slices.ContainsFunc([]string{"No space left on device", "Disk quota exceeded", "File too large"}, func(s string) bool {
		return strings.Contains(said, s)
	})
	switch {
	case full && up != none && up != uploaded:
		return v.fails(NoRoom, fmt.Errorf("%s took less than the %s that are needed%s", host.dir, megabytes(v.o.Binary.Size), all), "Make room there")
	case up == cut:
		return v.fails(UploadCut, fmt.Errorf("what arrived in %s is not what was sent%s", host.dir, all),
			"Try again; if it happens again, look at the disk there")
	case v.prompted && errors.Is(err, errSilent):
		return v.fails(NotStarted, fmt.Errorf("sudo got the password, and nothing came for %s%s", v.o.Patience, all),
			"Does it ask for something else, too?")
	}
	return v.fails(NotStarted, fmt.Errorf("%w%s", v.how(err), all), "")
}

// sudoRefusal recognises what sudo says, in English.
func sudoRefusal(said string) (reason Reason, what, remedy string) {
	for _, r := range []struct {
		words, what string
		reason      Reason
		remedy      string
	}{
		{"must have a tty", "sudo wants a terminal", Terminal, "Remove requiretty from the sudoers there, or add: Defaults:USER !requiretty"},
		{"not in the sudoers file", "", NotSudoer, "Log in as root, or as a user who may run everything by sudo"},
		{"is not allowed to", "", NotSudoer, "Log in as root, or as a user who may run everything by sudo"},
		{"may not run sudo", "", NotSudoer, "Log in as root, or as a user who may run everything by sudo"},
		{"I'm afraid I can't do that", "", NotSudoer, "Log in as root, or as a user who may run everything by sudo"},
		{"setuid", "", NoSudo, "Mend sudo there (it must belong to root and have mode 4755), or log in as root"},
		{"nosuid", "", NoSudo, "Mend sudo there (it must be on a file system that is mounted without nosuid), or log in as root"},
		{"no new privileges", "", NoSudo, "Log in as root, or outside of what forbids new privileges there"},
		{"incorrect password attempt", "sudo did not take the password", WrongPassword, "Give the password that the user has there"},
	} {
		// The line says it best.
		for line := range strings.Lines(said) {
			if line = strings.TrimSpace(line); strings.Contains(line, r.words) {
				if r.what == "" {
					r.what = strings.TrimPrefix(line, "sudo: ")
				}
				return r.reason, strings.TrimSuffix(r.what, "."), r.remedy
			}
		}
	}
	return "", "", ""
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

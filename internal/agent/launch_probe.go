package agent

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/internal/ssh"
)

//go:embed launch_probe.sh
var probeScript string

// probed is what has to be known of a host to start an agent there.
type probed struct {
	uid     int
	sudo    bool
	runs    bool   // the program is in place, and was started
	system  string // as uname -sm has it; empty where it was started
	gzip    bool
	dir     string // to upload the program to
	refused []refusedDir
}

// refusedDir is a directory that the program cannot be uploaded to.
type refusedDir struct {
	dir, why string // why: "readonly", "noexec", "full"
	free     int64  // bytes, where it is full
}

// probe removes from a host what earlier sessions had to leave, and starts the agent whose program is in place, all in one session: that is what most runs
// wait for. Where it is not in place, there is no stream, and probe says where it can be uploaded to. Anew is where what is in place is not wanted.
func probe(ctx context.Context, c *ssh.Client, o LaunchOptions, anew bool) (probed, *Stream, error) {
	// The script goes to the shell's input, since no quoting of several lines is the same for all login shells.
	token := newToken()
	v, err := converse(ctx, c, "/bin/sh -s "+scratch, token, o)
	if err != nil {
		return probed{}, nil, err
	}
	v.prompt = promptFor(token)
	digest := o.Binary.Digest
	if anew {
		digest = "none"
	}
	v.send(fmt.Sprintf("t=%s home=%s digest=%s size=%d need=%d self=%s\n%s", token, o.home, digest, o.Binary.Size, o.Binary.room(), o.self, probeScript))
	said, stream, err := v.listen(ctx)
	if stream != nil {
		return probed{}, stream, nil
	}
	defer func() { _ = v.Close() }()
	if failed, ok := errors.AsType[*LaunchError](err); ok {
		return probed{}, nil, failed
	}
	f, errSaid := parseFacts(said)
	switch {
	case err != nil && f.runs:
		return f, nil, v.explain(f, none, err)
	case err != nil:
		return f, nil, err
	case errSaid != nil:
		return f, nil, v.fails(NoShell, fmt.Errorf("looking around: %w%s", errSaid, v.said()), "")
	}
	return f, nil, f.check(v)
}

// listen returns what the script says, when it has ended, since sshd may allow few sessions at a time; or the stream to an agent that it started. With
// an error comes what it said before.
func (v *conversation) listen(ctx context.Context) (said []string, agent *Stream, err error) {
	complete, runs := false, false
	for {
		line, err := v.next(ctx)
		switch {
		case err != nil && (ctx.Err() != nil || runs):
			return said, nil, err
		case err != nil && complete:
			return said, nil, nil
		case errors.Is(err, errLost):
			return said, nil, v.fails(NotStarted, err, "Try again")
		case err != nil:
			return said, nil, v.fails(NoShell, fmt.Errorf("the login shell did not run a command: %w%s", v.how(err), v.said()),
				"Log in as a user whose shell runs commands (usermod --shell /bin/bash USER there), and remove "+
					"what its start-up files print without end or wait for")
		}
		if stream, err := v.begins(line); stream != nil || err != nil {
			return said, stream, err
		}
		if fact, ok := strings.CutPrefix(line, v.token+" "); ok {
			said = append(said, fact)
			complete = complete || fact == "end"
			runs = runs || fact == "runs"
		}
	}
}

// check says what is in the way of an agent.
func (f probed) check(v *conversation) error {
	b := v.o.Binary
	if got := platformOf(f.system); got != b.Platform {
		return v.fails(WrongPlatform, fmt.Errorf("it is %s, and this program is for %s", f.system, b.Platform),
			"Run Kubewright for that platform, from a computer that has it")
	}
	if f.uid != 0 && !f.sudo {
		return v.fails(NoSudo, errors.New("the user is not root, and sudo is not installed"), "Install sudo there, or log in as root")
	}
	if f.dir != "" {
		return nil
	}
	var why []string
	for _, kind := range []struct{ why, words string }{
		{"full", "too little room"}, {"noexec", "programs do not start (mounted noexec?)"}, {"readonly", "not to be written to"},
	} {
		var dirs []string
		for _, r := range f.refused {
			if r.why == kind.why && r.why == "full" {
				dirs = append(dirs, fmt.Sprintf("%s (%s)", r.dir, megabytes(r.free)))
			} else if r.why == kind.why {
				dirs = append(dirs, r.dir)
			}
		}
		if len(dirs) > 0 {
			why = append(why, kind.words+": "+strings.Join(dirs, ", "))
		}
	}
	all := strings.Join(why, "; ")
	if slices.ContainsFunc(f.refused, func(r refusedDir) bool { return r.why == "full" }) {
		return v.fails(NoRoom, fmt.Errorf("the program needs %s, in a directory that it can be started from: %s", megabytes(b.room()), all),
			"Make room in one of them")
	}
	return v.fails(NoExec, fmt.Errorf("there is no directory to start the program from: %s", all), "Remount one of them with exec")
}

// plain is a path that needs no quoting in any shell.
var plain = regexp.MustCompile(`^/[-A-Za-z0-9/._+@]*$`)

// parseFacts reads what the script said.
func parseFacts(said []string) (probed, error) {
	f := probed{uid: -1}
	for _, s := range said {
		what, rest, _ := strings.Cut(s, " ")
		fields := strings.Fields(rest)
		switch {
		case what == "uid" && len(fields) == 1:
			uid, err := strconv.Atoi(fields[0])
			if err != nil {
				return f, fmt.Errorf("who is logged in has the number %q", rest)
			}
			f.uid = uid
		case what == "system":
			f.system = strings.TrimSpace(rest)
		case what == "sudo":
			f.sudo = true
		case what == "gzip":
			f.gzip = true
		case what == "runs":
			f.runs = true
		case what == "dir" && len(fields) == 2 && plain.MatchString(fields[1]) && fields[0] == "ok":
			f.dir = fields[1]
		case what == "dir" && len(fields) >= 2:
			r := refusedDir{dir: fields[1], why: fields[0]}
			if len(fields) == 3 {
				kib, err := strconv.ParseInt(fields[2], 10, 64)
				if err != nil {
					return f, fmt.Errorf("%s has the free room %q", r.dir, fields[2])
				}
				r.free = kib * 1024
			}
			f.refused = append(f.refused, r)
		}
	}
	if f.uid < 0 || f.system == "" && !f.runs {
		return f, errors.New("it does not say who is logged in and what system it is")
	}
	return f, nil
}

// platformOf is the platform, as Go has it, of a host whose uname -sm says so.
func platformOf(uname string) string {
	system, machine, _ := strings.Cut(uname, " ")
	goarch, ok := map[string]string{
		"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ppc64le": "ppc64le",
		"s390x": "s390x", "riscv64": "riscv64", "loongarch64": "loong64",
	}[machine]
	if !ok {
		goarch = machine
	}
	return strings.ToLower(system) + "/" + goarch
}

package agent

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
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
	system  string // as uname -sm has it; empty where the program is in place, which is of its platform
	sudo    bool
	gzip    bool
	inPlace bool   // the program is in Home and can be trusted
	dir     string // to upload the program to, if it is not
	refused []refusedDir
}

// refusedDir is a directory that the program cannot be uploaded to.
type refusedDir struct {
	dir, why string // why: "readonly", "noexec", "full"
	free     int64  // bytes, where it is full
}

// probe looks at a host, in one session, and removes what earlier sessions had to leave. Anew is where what is in place is not wanted.
func probe(ctx context.Context, c *ssh.Client, o LaunchOptions, anew bool) (probed, error) {
	// The script goes to the shell's input, since no quoting of several lines is the same for all login shells.
	token := newToken()
	v, err := converse(ctx, c, "/bin/sh -s "+scratch, token, o)
	if err != nil {
		return probed{}, err
	}
	defer func() { _ = v.Close() }()
	digest := o.Binary.Digest
	if anew {
		digest = "none"
	}
	script := fmt.Sprintf("t=%s home=%s digest=%s need=%d\n%s", token, Home, digest, o.Binary.room(), probeScript)
	v.upload(strings.NewReader(script), 0)
	said, err := v.listen(ctx)
	if err != nil {
		return probed{}, err
	}
	f, err := parseFacts(said, o.Binary.Digest, o.Binary.Size)
	if err != nil {
		return f, v.fails(NoShell, fmt.Errorf("looking around: %w%s", err, v.said()), "")
	}
	if !anew && !f.inPlace && f.system == "" {
		// Something is in place that cannot be trusted, so it did not look where the program could be uploaded to.
		return probe(ctx, c, o, true)
	}
	return f, f.check(v)
}

// listen returns what the script says, when it has ended: sshd may allow few sessions at a time.
func (v *conversation) listen(ctx context.Context) (said []string, err error) {
	complete := false
	for {
		line, err := v.next(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil && complete:
			return said, nil
		case errors.Is(err, errLost):
			return nil, v.fails(NotStarted, err, "Try again")
		case err != nil:
			return nil, v.fails(NoShell, fmt.Errorf("the login shell did not run a command: %w%s", v.how(err), v.said()),
				"Log in as a user whose shell runs commands (usermod --shell /bin/bash USER there), and remove "+
					"what its start-up files print without end or wait for")
		}
		if fact, ok := strings.CutPrefix(line, v.token+" "); ok {
			said = append(said, fact)
			complete = fact == "end"
		}
	}
}

// check says what is in the way of an agent.
func (f probed) check(v *conversation) error {
	b := v.o.Binary
	if got := platformOf(f.system); got != b.Platform && !f.inPlace {
		return v.fails(WrongPlatform, fmt.Errorf("it is %s, and this program is for %s", f.system, b.Platform),
			"Run Kubewright for that platform, from a computer that has it")
	}
	if f.uid != 0 && !f.sudo {
		return v.fails(NoSudo, errors.New("the user is not root, and sudo is not installed"), "Install sudo there, or log in as root")
	}
	if f.inPlace || f.dir != "" {
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

// parseFacts reads what the script said. What is in place is trusted by who owns it: below directories that only root may write to, only root can
// have put it there, and root's agents write it as a whole, synced, under the digest of what they wrote. So a power cut leaves none or all of it; its
// size is compared for the file systems that do not keep such promises. Its digest is not: that would cost every run of every host 0.05 s (26 MB, on a
// fast processor; starting the agent takes 0.005 s) to find what shows anyway. A program that does not start is uploaded again.
func parseFacts(said []string, digest string, size int64) (probed, error) {
	f := probed{uid: -1}
	trusted := map[string]bool{}
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
			trusted["runs"] = true
		case what == "stat" && len(fields) == 4:
			mode, err := strconv.ParseUint(fields[2], 16, 32)
			length, errLength := strconv.ParseInt(fields[3], 10, 64)
			if err != nil || errLength != nil || fields[1] != "0" || mode&0o022 != 0 {
				continue
			}
			const kind, dir, file = 0o170000, 0o040000, 0o100000
			p := fields[0]
			trusted[p] = mode&kind == dir || mode&kind == file && p == path.Join(Home, digest) && length == size
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
	f.inPlace = !slices.ContainsFunc([]string{path.Dir(Home), Home, path.Join(Home, digest), "runs"}, func(p string) bool { return !trusted[p] })
	// Where something is in place that cannot be trusted, it is asked again.
	if f.uid < 0 || f.system == "" && !trusted["runs"] {
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

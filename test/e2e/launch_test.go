package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/ssh"
)

// launcher starts agents on a machine.
type launcher struct {
	t       *testing.T
	f       fixture
	machine string
	dialer  *ssh.Dialer
	target  ssh.Target
	binary  *agent.Binary
}

// launched is what came of a launch.
type launched struct {
	stream   *agent.Stream
	err      error
	progress []string
	asked    int // for a password
	took     time.Duration
}

func newLauncher(t *testing.T, f fixture) *launcher {
	t.Helper()
	list, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	dialer, err := ssh.NewDialer(ssh.Config{
		Home: home, KnownHosts: []string{filepath.Join(home, "known_hosts")}, Agent: ssh.NoAgent,
		FirstContact: func(context.Context, ssh.FirstContact) (bool, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dialer.Close)
	binary, err := agent.OpenBinary(kubewright)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = binary.Close() })
	return &launcher{t, f, list[0].Name, dialer, ssh.Target{Name: list[0].Name, Address: list[0].Address.String(), Key: filepath.Join(filepath.Dir(f.SSHConfig()), "id_ed25519")}, binary}
}

func (l *launcher) dial(user string) *ssh.Client {
	l.t.Helper()
	target := l.target
	target.User = user
	c, err := l.dialer.Dial(l.t.Context(), target)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.Close)
	return c
}

// launch starts an agent; no password is none to give.
func (l *launcher) launch(user, password string) launched {
	l.t.Helper()
	c := l.dial(user)
	var r launched
	start := time.Now()
	r.stream, r.err = agent.Launch(l.t.Context(), c, agent.LaunchOptions{
		Host: l.machine, Binary: l.binary, Patience: 5 * time.Second,
		Progress:     func(m string) { r.progress = append(r.progress, m) },
		SudoPassword: func(context.Context, string) ([]byte, error) { r.asked++; return []byte(password), nil },
	})
	r.took = time.Since(start)
	l.t.Logf("%5.2fs  launch as %s: %q, %v", r.took.Seconds(), user, r.progress, r.err)
	if r.err != nil && password != "" && strings.Contains(r.err.Error(), password) {
		l.t.Errorf("the error shows the password: %v", r.err)
	}
	return r
}

// ends closes the stream, and waits for the agent and what it was uploaded to to be gone.
func (l *launcher) ends(r launched) {
	l.t.Helper()
	if r.err != nil {
		l.t.Fatal(r.err)
	}
	if err := r.stream.Close(); err != nil {
		l.t.Error(err)
	}
	wait(l.t, "the agent to end", func(context.Context) error {
		select {
		case <-r.stream.Ended():
			return nil
		default:
			return errors.New("it runs")
		}
	})
	l.leavesNothing()
}

// works starts an agent that must start, as root, and ends it.
func (l *launcher) works(user, password string) launched {
	l.t.Helper()
	r := l.launch(user, password)
	if r.err != nil {
		l.t.Fatal(r.err)
	}
	if owner := l.f.on(l.t, l.machine, `ps -o user= -p $(pgrep -fx '[^ ]*/(kubewright|[0-9a-f]{64}) agent [0-9a-f]+' -u root)`); !strings.HasPrefix(owner, "root") || strings.Contains(owner, "\n") {
		l.t.Errorf("the agent runs as %q", owner)
	}
	client, err := agent.Connect(l.t.Context(), l.machine, r.stream, nil, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if host, err := client.Hello(l.t.Context()); err != nil || host.Hostname != l.machine {
		l.t.Errorf("it is the agent of %+v, %v", host, err)
	}
	client.Close()
	l.ends(r)
	return r
}

func (l *launcher) leavesNothing() {
	l.t.Helper()
	wait(l.t, "nothing to be left", func(context.Context) error {
		left := l.f.try(l.t, l.machine, "find / -xdev -name '.kubewright-agent-*' -o -name '.new-*'; pgrep -fa 'agent [0-9a-f]{24}$'; for d in /tmp /var/tmp /dev/shm /run /var/lib /home; do ls -d $d/.kubewright-agent-*; done 2>/dev/null")
		if left.Stdout != "" {
			return errors.New(left.Stdout)
		}
		return nil
	})
}

// fails starts an agent that cannot be started, for a reason.
func (l *launcher) fails(user, password string, reason agent.Reason, says ...string) launched {
	l.t.Helper()
	r := l.launch(user, password)
	var e *agent.LaunchError
	switch {
	case r.err == nil:
		l.t.Errorf("as %s it started; want %s", user, reason)
		l.ends(r)
		return r
	case !errors.As(r.err, &e) || e.Reason != reason:
		l.t.Errorf("as %s: %v; want %s", user, r.err, reason)
	}
	for _, s := range says {
		if !strings.Contains(r.err.Error(), s) {
			l.t.Errorf("as %s: %v; want it to say %q", user, r.err, s)
		}
	}
	l.leavesNothing()
	return r
}

func (r launched) uploaded() bool {
	return slices.ContainsFunc(r.progress, func(m string) bool { return strings.HasPrefix(m, "uploading the agent to ") })
}

// forget removes the program that is in place.
func (l *launcher) forget() { l.f.on(l.t, l.machine, "rm -rf "+agent.Home) }

// TestLaunch starts agents on a machine as all kinds of users, and where something is in the way.
func TestLaunch(t *testing.T) {
	f := newFixture(t, "launch")
	f.machines(t, "up", "--count", "1")
	l := newLauncher(t, f)

	t.Run("first and second", func(t *testing.T) {
		l, on := l.with(t)
		for _, u := range []struct{ name, password string }{{"root", ""}, {"admin", ""}, {"ops", "ops"}} {
			l.forget()
			first := l.works(u.name, u.password)
			if !first.uploaded() {
				t.Errorf("%s: the first launch uploads nothing: %q", u.name, first.progress)
			}
			if seen := on("stat -c '%U %a %n' /var/lib/kubewright /var/lib/kubewright/agent /var/lib/kubewright/agent/*"); seen !=
				"root 755 /var/lib/kubewright\nroot 755 /var/lib/kubewright/agent\nroot 755 /var/lib/kubewright/agent/"+l.binary.Digest {
				t.Errorf("%s: in place is %s", u.name, seen)
			}
			second := l.works(u.name, u.password)
			if second.uploaded() || second.took > 10*time.Second {
				t.Errorf("%s: the second launch takes %s: %q", u.name, second.took, second.progress)
			}
			if want := len(u.password) / 3; first.asked != want || second.asked != want {
				t.Errorf("%s was asked %d and %d times for a password", u.name, first.asked, second.asked)
			}
		}
	})
	t.Run("passwords", func(t *testing.T) {
		l, on := l.with(t)
		l.fails("ops", "wrong-one", agent.WrongPassword)
		l.fails("ops", "", agent.NoPassword)
		l.forget()
		l.fails("ops", "wrong-one", agent.WrongPassword)
		l.fails("ops", "", agent.NoPassword)
		on("useradd --create-home --shell /bin/bash nobodys && cp -r /root/.ssh /home/nobodys/ && chown -R nobodys: /home/nobodys && echo nobodys:secret-1 | chpasswd")
		l.fails("nobodys", "secret-1", agent.NotSudoer, "nobodys is not in the sudoers file")
		on("echo 'nobodys ALL=(root) NOPASSWD: /bin/true' >/etc/sudoers.d/nobodys")
		l.fails("nobodys", "secret-1", agent.NotSudoer, "not allowed to execute")
		on("rm /etc/sudoers.d/nobodys && chmod 0755 /usr/bin/sudo")
		l.fails("admin", "", agent.NoSudo, "setuid")
		on("chmod 4755 /usr/bin/sudo && mv /usr/bin/sudo /usr/bin/sudo.away")
		l.fails("admin", "", agent.NoSudo, "not installed")
		on("mv /usr/bin/sudo.away /usr/bin/sudo")
	})
	t.Run("terminals", func(t *testing.T) {
		l, on := l.with(t)
		on("echo 'Defaults requiretty' >/etc/sudoers.d/tty")
		l.fails("admin", "", agent.Terminal, "terminal")
		on("echo 'Defaults use_pty' >/etc/sudoers.d/tty")
		l.forget()
		l.works("admin", "")
		l.works("ops", "ops")
		on("echo 'Defaults lecture=always' >/etc/sudoers.d/tty")
		l.works("ops", "ops")
		on("rm /etc/sudoers.d/tty")
	})
	t.Run("shells", func(t *testing.T) {
		l, on := l.with(t)
		on(`cp /home/admin/.bashrc /root/admin.bashrc; (echo 'seq 2000; echo "not at the end of a line: \e[2J" | tr -d "\n"; echo noise >&2; set -x'; cat /root/admin.bashrc) >/home/admin/.bashrc; cp /home/admin/.bashrc /home/ops/.bashrc`)
		for _, where := range []string{"in place", "uploaded"} {
			l.works("admin", "")
			l.works("ops", "ops")
			l.fails("ops", "", agent.NoPassword)
			if where == "in place" {
				l.forget()
			}
		}
		on("echo yes >/home/admin/.bashrc")
		l.fails("admin", "", agent.NoShell, "more than anybody would read")
		on("echo 'sleep 1000' >/home/admin/.bashrc")
		l.fails("admin", "", agent.NoShell, "nothing came for 5s")
		on("pkill -x sleep; cp /root/admin.bashrc /home/admin/.bashrc; cp /root/admin.bashrc /home/ops/.bashrc")
		on("usermod --shell /usr/sbin/nologin admin")
		l.fails("admin", "", agent.NoShell, "exit code 1", "This account is currently not available")
		on("usermod --shell /bin/false admin")
		l.fails("admin", "", agent.NoShell, "exit code 1")
		on(`printf '#!/bin/sh\necho "Welcome: $*"; trap "" HUP; /bin/dash "$@"; echo Bye\n' >/usr/local/bin/odd && chmod 755 /usr/local/bin/odd && usermod --shell /usr/local/bin/odd admin`)
		l.works("admin", "")
		l.forget()
		l.works("admin", "")
		on("usermod --shell /bin/dash admin")
		l.works("admin", "")
		on(`printf '#!/bin/bash\nexec script --quiet --return --command "$2" /dev/null\n' >/usr/local/bin/odd`)
		if on("command -v script || true") != "" {
			on("usermod --shell /usr/local/bin/odd admin")
			r := l.launch("admin", "")
			if r.err == nil {
				t.Error("a terminal is between, and it started")
			}
		}
		on("usermod --shell /bin/bash admin; pkill -u admin || true") // script spins when nobody listens
	})
	t.Run("few sessions at a time", func(t *testing.T) {
		l, on := l.with(t)
		on("echo 'MaxSessions 2' >/etc/ssh/sshd_config.d/few.conf && systemctl restart ssh")
		l.works("admin", "")
		l.forget()
		l.works("ops", "ops")
		on("rm /etc/ssh/sshd_config.d/few.conf && systemctl restart ssh")
	})
	t.Run("mounts", func(t *testing.T) {
		l, on := l.with(t)
		places := []string{"/var/tmp", "/tmp", "/home", "/dev/shm", "/run"}
		mount := func(options string, places ...string) (undo func()) {
			t.Helper()
			var there []string
			for _, p := range places {
				// Bind mounts where there is something to keep.
				if p == "/home" || p == "/var/lib" || p == "/run" || p == "/root" {
					on(fmt.Sprintf("mount --bind %s %s && mount -o remount,bind,%s %s", p, p, options, p))
				} else {
					on(fmt.Sprintf("mount -t tmpfs -o %s,mode=1777 none %s", options, p))
				}
				there = append(there, p)
			}
			slices.Reverse(there)
			return func() { t.Helper(); on("umount --lazy " + strings.Join(there, " ")) }
		}
		l.forget()
		undo := mount("noexec", "/var/tmp", "/tmp")
		if r := l.works("admin", ""); !slices.ContainsFunc(r.progress, func(m string) bool { return strings.Contains(m, "uploading the agent to /home/admin ") }) {
			t.Errorf("from elsewhere: %q", r.progress)
		}
		undo()
		l.forget()
		undo = mount("noexec", places...)
		l.fails("admin", "", agent.NoExec, "/tmp, /home/admin, /dev/shm")
		if r := l.works("root", ""); !r.uploaded() {
			t.Error("nothing uploaded")
		}
		l.works("admin", "") // it is in place now
		undo()
		undo = mount("noexec", "/var/lib")
		if r := l.works("admin", ""); !r.uploaded() {
			t.Error("what is in place cannot be executed, and is used")
		}
		l.forget()
		for range 2 {
			if r := l.works("ops", "ops"); !r.uploaded() {
				t.Error("nothing can be in place")
			}
		}
		undo()
		l.forget()
		undo = mount("size=3m", "/var/tmp", "/tmp", "/dev/shm")
		more := mount("noexec", "/home", "/run", "/var/lib", "/root")
		l.fails("admin", "", agent.NoRoom, "too little room: /var/tmp (3.1 MB)", "needs", "noexec?): /home/admin")
		l.fails("root", "", agent.NoRoom)
		more()
		l.works("admin", "") // from its home
		undo()
	})
	t.Run("what is in place", func(t *testing.T) {
		l, on := l.with(t)
		l.works("root", "")
		file := agent.Home + "/" + l.binary.Digest
		for what, command := range map[string]string{
			"truncated": "truncate --size 1000 " + file, "not root's": "chown admin " + file, "others may write": "chmod 777 " + file,
			"others may write to the directory": "chmod 777 " + agent.Home, "a link": "mv FILE /opt/x && ln -s /opt/x FILE",
			"broken": "cp FILE /tmp/x && dd if=/dev/zero of=/tmp/x bs=4k count=1 conv=notrunc && mv /tmp/x FILE",
		} {
			on(strings.ReplaceAll(command, "FILE", file))
			if r := l.works("admin", ""); !r.uploaded() {
				t.Errorf("%s: it is used: %q", what, r.progress)
			}
			on("chmod 755 " + agent.Home)
			if r := l.works("admin", ""); r.uploaded() {
				t.Errorf("%s: it was not repaired", what)
			}
		}
		on("mv /var/lib/kubewright /opt/ && ln -s /opt/kubewright /var/lib/")
		if r := l.works("admin", ""); r.uploaded() {
			t.Error("the directory is a link, and what is in place is not used")
		}
		on("rm /var/lib/kubewright && mv /opt/kubewright /var/lib/")
		on("touch " + agent.Home + "/" + strings.Repeat("0", 64) + " " + agent.Home + "/.new-123")
		l.works("ops", "ops")
		if there := on("ls -A " + agent.Home); there != l.binary.Digest {
			t.Errorf("of other versions is left: %s", there)
		}
	})
	t.Run("cut", func(t *testing.T) {
		l, on := l.with(t)
		l.forget()
		uploading := "ls -d /var/tmp/.kubewright-agent-*/kubewright"
		start := func(slow string) (chan error, *ssh.Client) {
			c := l.dial("ops")
			f.machines(t, "limit", l.machine, slow)
			done := make(chan error, 1)
			go func() {
				_, err := agent.Launch(t.Context(), c, agent.LaunchOptions{Host: l.machine, Binary: l.binary})
				done <- err
			}()
			wait(t, "the upload to begin", func(context.Context) error {
				if r := f.try(t, l.machine, uploading); r.ExitCode != 0 {
					return errors.New(r.Stderr)
				}
				return nil
			})
			return done, c
		}
		// By whoever ends the connection: the shell there sees the end.
		done, c := start("10mbit")
		c.Close()
		cut := func(err error) {
			t.Helper()
			var e *agent.LaunchError
			if !errors.As(err, &e) || e.Reason != agent.UploadCut || strings.Contains(err.Error(), "ready") {
				t.Errorf("an upload was cut: %v", err)
			}
			t.Log(err)
		}
		cut(<-done)
		l.leavesNothing()
		// By a shell there that cannot clean up: the next one does.
		done, _ = start("10mbit")
		on("pkill -KILL -u ops")
		cut(<-done)
		on(uploading)
		f.machines(t, "limit", l.machine, "none")
		l.works("ops", "ops")
	})
	t.Run("a crash is explained", func(t *testing.T) {
		l, on := l.with(t)
		r := l.launch("root", "")
		if r.err != nil {
			t.Fatal(r.err)
		}
		on("pkill -ABRT -f 'agent [0-9a-f]{24}$'") // Go says where it was
		rest, err := io.ReadAll(r.stream)
		if err != nil || !strings.Contains(r.stream.Stderr(), "goroutine") && !strings.Contains(r.stream.Stderr(), "rip ") {
			t.Errorf("after a crash: %q, %v; it said %q", bytes.TrimSpace(rest), err, r.stream.Stderr())
		}
		l.leavesNothing()
	})
}

// with is the launcher for a subtest, and what runs commands as root on its machine.
func (l *launcher) with(t *testing.T) (*launcher, func(command string) string) {
	c := *l
	c.t = t
	return &c, func(command string) string { t.Helper(); return c.f.on(t, c.machine, command) }
}

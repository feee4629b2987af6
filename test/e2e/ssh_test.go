package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/ssh"
)

// TestSSH connects to a real sshd: by each user, through a bastion, to a machine whose power is cut, and to one that was installed anew.
func TestSSH(t *testing.T) {
	f := newFixture(t, "ssh")
	f.machines(t, "up", "--count", "2")
	list, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		f.on(t, m.Name, "ssh-keygen -qA && systemctl restart ssh") // keys of all kinds, as servers have
	}
	home := t.TempDir()
	asked := 0
	d, err := ssh.NewDialer(ssh.Config{
		Home: home, KnownHosts: []string{filepath.Join(home, "known_hosts")}, Agent: ssh.NoAgent, KeepAlive: time.Second,
		FirstContact: func(_ context.Context, c ssh.FirstContact) (bool, error) {
			asked++
			shown := f.on(t, c.Host, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key")
			if !strings.Contains(shown, c.Fingerprint) {
				t.Errorf("%s is asked about as %s, and says itself: %s", c.Host, c.Fingerprint, shown)
			}
			return true, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	target := func(i int, user string) ssh.Target {
		return ssh.Target{Name: list[i].Name, Address: list[i].Address.String(), User: user, Key: filepath.Join(filepath.Dir(f.SSHConfig()), "id_ed25519")}
	}
	for _, user := range []string{"root", "admin", "ops"} {
		c, err := d.Dial(t.Context(), target(0, user))
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Run(t.Context(), "id -un", nil)
		if err != nil || strings.TrimSpace(string(out.Stdout)) != user {
			t.Errorf("%s is %+v, %v", user, out, err)
		}
		c.Close()
	}
	through := target(1, "root")
	through.Bastion = "admin@" + list[0].Address.String()
	if c, err := d.Dial(t.Context(), through); err != nil {
		t.Error(err)
	} else {
		out, err := c.Run(t.Context(), "hostname; echo $SSH_CONNECTION", nil)
		if err != nil || !strings.HasPrefix(string(out.Stdout), list[1].Name+"\n"+list[0].Address.String()+" ") {
			t.Errorf("through the bastion: %+v, %v", out, err)
		}
		c.Close()
	}
	if asked != 2 {
		t.Errorf("asked %d times about 2 hosts", asked)
	}

	c, err := d.Dial(t.Context(), target(1, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// sshd does not say that a session has ended before its command has; nobody waits for that.
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Run(short, "sleep 1000", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 20*time.Second {
		t.Errorf("a command without end ended after %s: %v", time.Since(start), err)
	}
	cut := time.AfterFunc(500*time.Millisecond, func() { f.machines(t, "kill", "m2") })
	defer cut.Stop()
	if out, err := c.Run(t.Context(), "sleep 1000", nil); err == nil {
		t.Errorf("a command on a machine without power ended: %+v", out)
	}
	f.on(t, "m1", "rm /etc/ssh/ssh_host_* && ssh-keygen -qA && systemctl restart ssh") // as when it is installed anew
	var e *ssh.Error
	if _, err := d.Dial(t.Context(), target(0, "root")); !errors.As(err, &e) || e.Reason != ssh.HostKeyChanged {
		t.Errorf("a machine that was installed anew: %v", err)
	} else {
		t.Log(err)
	}
}

package resource_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func ports(tool string) resource.FirewallPorts {
	return resource.FirewallPorts{Tool: tool, Ports: []string{"6443/tcp", "2379-2380/tcp", "22/tcp"}, Protocols: []string{"vrrp"}, Sources: []string{"10.0.0.0/8", "10.1.0.5/32"}}
}

// firewalld is a firewall-cmd that keeps ports and sources as the real one lists them, and beside them the machine's state tells.
func firewalld(m *fake.Machine) {
	env := m.Env(nil)
	kept := map[bool]map[string][]string{ // by permanent, then by what
		false: {"port": {"22/tcp", "2379-2381/tcp"}},
		true:  {"port": {"22/tcp"}},
	}
	save := func() error {
		var s strings.Builder
		for _, permanent := range []bool{false, true} {
			for _, what := range []string{"port", "protocol", "source"} {
				slices.Sort(kept[permanent][what])
				s.WriteString(strings.Join(kept[permanent][what], " ") + "\n")
			}
		}
		return env.Files.Write("/etc/firewalld.state", resource.Attributes{Mode: 0o600}, strings.NewReader(s.String()))
	}
	if err := save(); err != nil {
		panic(err)
	}
	m.SetProgram("firewall-cmd", func(_ context.Context, c resource.Command) (resource.Output, error) {
		permanent := slices.Contains(c.Args, "--permanent")
		set := kept[permanent]
		for _, a := range c.Args {
			option, value, _ := strings.Cut(a, "=")
			verb, what, _ := strings.Cut(strings.TrimPrefix(option, "--"), "-")
			switch {
			case a == "--get-default-zone":
				return resource.Output{Stdout: "public\n"}, nil
			case verb == "list":
				return resource.Output{Stdout: strings.Join(set[strings.TrimSuffix(what, "s")], " ") + "\n"}, nil
			case verb == "add":
				if what == "source" && !slices.Contains(c.Args, "--zone=trusted") || what != "source" && !slices.Contains(c.Args, "--zone=public") {
					return resource.Output{Code: 1, Stderr: "wrong zone"}, nil
				}
				set[what] = append(set[what], value)
			case verb == "remove":
				set[what] = slices.DeleteFunc(set[what], func(s string) bool { return s == value })
			}
		}
		return resource.Output{}, save()
	})
}

// ufw keeps its rules as "ufw show added" lists them.
func ufw(m *fake.Machine) {
	env := m.Env(nil)
	rules := []string{"ufw allow 22/tcp", "ufw deny 6443/tcp", "ufw allow 6443/tcp0"}
	save := func() error {
		return env.Files.Write("/etc/ufw.state", resource.Attributes{Mode: 0o600}, strings.NewReader(strings.Join(rules, "\n")))
	}
	if err := save(); err != nil {
		panic(err)
	}
	m.SetProgram("ufw", func(_ context.Context, c resource.Command) (resource.Output, error) {
		switch line := strings.Join(c.Args, " "); {
		case line == "show added":
			return resource.Output{Stdout: "Added user rules (see 'ufw status' for running firewall):\n" + strings.Join(rules, "\n") + "\n"}, nil
		case strings.HasSuffix(line, " comment kubewright"):
			rules = append(rules, "ufw "+strings.TrimSuffix(line, " comment kubewright")+" comment 'kubewright'")
		case strings.HasPrefix(line, "delete "):
			rule := "ufw " + strings.TrimPrefix(line, "delete ")
			rules = slices.DeleteFunc(rules, func(r string) bool { return r == rule || strings.HasPrefix(r, rule+" comment ") })
		default:
			return resource.Output{Code: 1, Stderr: "ERROR: " + line}, nil
		}
		return resource.Output{}, save()
	})
}

func TestFirewalldMergesPorts(t *testing.T) {
	for _, c := range []struct {
		open string
		want bool
	}{
		{"2379-2380/tcp", true}, {"2379/tcp 2380/tcp", true}, {"2000-3000/tcp", true}, {"2380-2400/tcp 2370-2379/tcp", true},
		{"2379/tcp", false}, {"2379-2380/udp", false}, {"2380-2381/tcp", false}, {"", false},
	} {
		m := fake.New("m", nil)
		m.SetProgram("firewall-cmd", func(_ context.Context, cmd resource.Command) (resource.Output, error) {
			if slices.Contains(cmd.Args, "--list-ports") {
				return resource.Output{Stdout: c.open}, nil
			}
			return resource.Output{}, nil
		})
		r := resource.FirewallPorts{Tool: "firewalld", Ports: []string{"2379-2380/tcp"}}
		o, err := r.Observe(t.Context(), m.Env(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.Diff(o)) == 0; got != c.want {
			t.Errorf("with %q open, it is taken for open: %v", c.open, got)
		}
	}
}

// TestFirewallPortsThatAreNotWantedAnyMore shrinks and changes a list: what Kubewright let in goes, what was there stays.
func TestFirewallPortsThatAreNotWantedAnyMore(t *testing.T) {
	for _, c := range []struct {
		tool        string
		start       func(*fake.Machine)
		first, then []string
		changes     []string
		asked       string // a program's answer that lists what is open then
	}{
		{"firewalld", firewalld, []string{"22/tcp", "2379-2380/tcp", "6443/tcp"}, []string{"6443/tcp"},
			[]string{"port 2379-2380/tcp: open → closed (Kubewright let it in, and nothing needs it any more)"}, "22/tcp 6443/tcp"},
		{"firewalld", firewalld, []string{"30000-32767/tcp"}, []string{"30000-31000/tcp"},
			[]string{"port 30000-32767/tcp: open → closed (Kubewright let it in, and nothing needs it any more)"}, "22/tcp 30000-31000/tcp"},
		{"firewalld", firewalld, []string{"6443/tcp"}, []string{"6443/tcp", "10250/tcp"}, []string{"port 10250/tcp: closed → open"}, "10250/tcp 22/tcp 6443/tcp"},
		{"ufw", ufw, []string{"22/tcp", "6443/tcp", "10250/tcp"}, []string{"6443/tcp"},
			[]string{"port 10250/tcp: open → closed (Kubewright let it in, and nothing needs it any more)"},
			"ufw allow 22/tcp\nufw deny 6443/tcp\nufw allow 6443/tcp0\nufw allow 6443/tcp comment 'kubewright'"},
	} {
		m := fake.New("m", nil)
		env := m.Env(nil)
		c.start(m)
		if err := env.Files.Mkdir("/var/lib/kubewright", resource.Attributes{Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
		before := m.State()
		first, then := resource.FirewallPorts{Tool: c.tool, Ports: c.first}, resource.FirewallPorts{Tool: c.tool, Ports: c.then}
		previous, err := first.Observe(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		settled(t, first, env)
		o, err := then.Observe(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		var changes []string
		for _, d := range then.Diff(o) {
			changes = append(changes, d.String())
		}
		if !slices.Equal(changes, c.changes) {
			t.Errorf("from %q to %q differs by %q", c.first, c.then, changes)
		}
		settled(t, then, env)
		program, args := "ufw", []string{"show", "added"}
		if c.tool == "firewalld" {
			program, args = "firewall-cmd", []string{"--permanent", "--list-ports"}
		}
		out, err := env.Exec.Run(t.Context(), resource.Command{Name: program, Args: args})
		if _, list, _ := strings.Cut("\n"+out.Stdout, ":\n"); err != nil || strings.TrimSpace(list) != c.asked && strings.TrimSpace(out.Stdout) != c.asked {
			t.Errorf("from %q to %q leaves %q open", c.first, c.then, out.Stdout)
		}
		for range 2 {
			if err := then.Undo(t.Context(), env, previous); err != nil {
				t.Fatal(err)
			}
			if after := m.State(); !maps.Equal(before, after) {
				t.Errorf("from %q to %q and back is not as it was", c.first, c.then)
			}
		}
	}
}

// TestFirewallPortsWithADamagedRecord has the record fail to be read: nothing is changed, and people are told what to do.
func TestFirewallPortsWithADamagedRecord(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	ufw(m)
	f := resource.FirewallPorts{Tool: "ufw", Ports: []string{"10250/tcp"}}
	const record = "/var/lib/kubewright/firewall-ufw.json"
	if err := env.Files.Write(record, resource.Attributes{}, strings.NewReader("{")); err != nil {
		t.Fatal(err)
	}
	before := m.State()
	if err := f.Apply(t.Context(), env); err == nil || !strings.Contains(err.Error(), "reading "+record) || !strings.Contains(err.Error(), "remove it, and what was let in stays so") {
		t.Errorf("it says %v", err)
	}
	if after := m.State(); !maps.Equal(before, after) {
		t.Errorf("it changed to %v", after)
	}
}

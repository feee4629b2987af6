package machines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// UpOptions says what Up makes.
type UpOptions struct {
	Count      int    // how many machines, named NamePrefix1, NamePrefix2, …; 1 to 100
	NamePrefix string // lower-case letters, digits and hyphens
	Hardware          // of new machines
	// SetCPUs and SetMemory give existing machines, too, the CPUs and the memory of new ones.
	SetCPUs, SetMemory bool
}

const (
	// readyTimeout is how long a machine may take until it answers SSH; it takes 2 s on an idle computer.
	readyTimeout = 90 * time.Second
	// killTimeout is how long the kernel may take to end the processes of a machine.
	killTimeout = 30 * time.Second
)

// Up makes the machines that are missing, starts those that do not run, and returns when each of them answers over SSH.
// Machines that exist keep what they have, unless the options say otherwise, which takes effect on running machines at once.
func (s *Set) Up(ctx context.Context, o UpOptions) error {
	if o.Count < 1 || o.Count > maxMachines {
		return invalid("%d machines: want 1 to %d in a set", o.Count, maxMachines)
	}
	var names []string
	for i := range o.Count {
		names = append(names, fmt.Sprintf("%s%d", o.NamePrefix, i+1))
	}
	if err := checkName("machine", names[o.Count-1]); err != nil {
		return err
	}
	if o.Disk < 1<<30 {
		return invalid("a disk of %d bytes: want at least 1 GiB", o.Disk)
	}
	if o.CPUs != 0 && (o.CPUs < 0.01 || o.CPUs > 1e6) {
		return invalid("%g CPUs: want at least 0.01, or 0 for no limit", o.CPUs)
	}
	if o.Memory != 0 && o.Memory < 64<<20 {
		return invalid("%d bytes of memory: want at least 64 MiB, or 0 for no limit", o.Memory)
	}
	if err := s.checkRequirements(); err != nil {
		return err
	}
	s.prepareKernel()
	release, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	rootfs, err := s.ensureRootFS(ctx)
	if err != nil {
		return err
	}
	st, err := s.claimSubnet(ctx)
	if err != nil {
		return err
	}
	if err := ensureKey(s.IdentityFile(), "machines-"+s.config.Name); err != nil {
		return err
	}
	wanted, err := s.order(names, o, rootfs)
	if err != nil {
		return err
	}
	if err := s.writeSSHFiles(st.Subnet); err != nil {
		return err
	}
	return s.start(ctx, st, wanted)
}

// order writes down what is wanted of each machine.
func (s *Set) order(names []string, o UpOptions, rootfs string) ([]machine, error) {
	all, err := s.machines()
	if err != nil {
		return nil, err
	}
	var wanted []machine
	for _, name := range names {
		i := slices.IndexFunc(all, func(m machine) bool { return m.Name == name })
		if i >= 0 {
			m := all[i]
			if o.SetCPUs {
				m.CPUs = o.CPUs
			}
			if o.SetMemory {
				m.Memory = o.Memory
			}
			if err := writeJSON(s.machineFile(name, "machine.json"), m); err != nil {
				return nil, err
			}
			wanted = append(wanted, m)
			continue
		}
		m := machine{Name: name, Hardware: o.Hardware, RootFS: rootfs}
		for slices.ContainsFunc(all, func(other machine) bool { return other.Index == m.Index }) {
			m.Index++
		}
		if m.Index >= maxMachines {
			return nil, fmt.Errorf("set %s has no address left for machine %s; take some down or use another set (--set)", s.config.Name, name)
		}
		// What a killed run left of a machine of that name has no part in this one.
		if err := errors.Join(os.RemoveAll(s.machineDir(name)), os.MkdirAll(s.machineDir(name), 0o700)); err != nil {
			return nil, err
		}
		if err := ensureKey(s.machineFile(name, hostKeyFile), "root@"+name); err != nil {
			return nil, err
		}
		// Written last: a machine exists from here on.
		if err := writeJSON(s.machineFile(name, "machine.json"), m); err != nil {
			return nil, err
		}
		all = append(all, m)
		wanted = append(wanted, m)
	}
	return wanted, nil
}

// each does something to several machines at once and returns what failed, for all of them.
func each(ctx context.Context, machines []machine, do func(context.Context, machine) error) error {
	var all sync.WaitGroup
	failures := make([]error, len(machines))
	for i, m := range machines {
		all.Go(func() {
			if err := do(ctx, m); err != nil {
				failures[i] = fmt.Errorf("machine %s: %w", m.Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// start starts machines that do not run, and waits for all of them.
func (s *Set) start(ctx context.Context, st state, machines []machine) error {
	if err := s.connectNetwork(st); err != nil {
		return err
	}
	return each(ctx, machines, func(ctx context.Context, m machine) error {
		began := time.Now()
		g, err := s.cgroup(m.Name)
		if err != nil {
			return err
		}
		running, err := g.populated()
		if err != nil {
			return err
		}
		if !running {
			s.config.Progress(m.Name, "starting")
			if err := s.powerOn(ctx, m, g); err != nil {
				return err
			}
		} else if err := g.limit(m.CPUs, m.Memory); err != nil {
			return err
		}
		if slices.Contains(cutFrom(st.Cuts, m.Name), everybody) {
			s.config.Progress(m.Name, "running, but cut off (heal it to reach it)")
			return nil
		}
		if err := s.waitReady(ctx, m, g); err != nil {
			return err
		}
		if !running {
			s.config.Progress(m.Name, fmt.Sprintf("answers at %s after %.1f s", st.Subnet.machine(m.Index), time.Since(began).Seconds()))
		}
		return nil
	})
}

func (s *Set) powerOn(ctx context.Context, m machine, g cgroup) error {
	// Groups of an earlier boot that ended by itself.
	if err := g.removeBelow(ctx); err != nil {
		return err
	}
	if err := g.sub(supervisor).create(); err != nil {
		return err
	}
	// Above the machine's own group, which root inside may write to where it is v1.
	if err := g.limit(m.CPUs, m.Memory); err != nil {
		return err
	}
	if _, err := os.Stat(s.rootfsPath(m.RootFS)); err != nil {
		return fmt.Errorf("the root file system that it was installed from is gone from the cache, and its disk is useless without: %w; make it fresh: kubewright machines reset %s --set %s", err, m.Name, s.config.Name)
	}
	if _, err := os.Stat(s.diskFile(m.Name)); errors.Is(err, os.ErrNotExist) {
		if err := s.newDisk(ctx, m); err != nil {
			return err
		}
	}
	return s.startSupervisor(m, g)
}

// waitReady waits until root can log in over SSH.
func (s *Set) waitReady(ctx context.Context, m machine, g cgroup) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("longer than %s", readyTimeout))
	defer cancel()
	s.forget(m.Name)
	return Wait(ctx, "it to answer over SSH", func(ctx context.Context) error {
		running, err := g.populated()
		if err != nil {
			return Fatal(err)
		}
		if !running {
			return Fatal(fmt.Errorf("it stopped; its console said last:\n%s", s.consoleTail(m.Name)))
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err = s.client(ctx, m.Name)
		return err
	})
}

func (s *Set) consoleTail(name string) string {
	content, err := os.ReadFile(s.consoleFile(name))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// change takes the set's lock, picks machines (all without names) and does something to them.
func (s *Set) change(ctx context.Context, names []string, do func(state, []machine) error) error {
	if _, err := s.load(); err != nil {
		return err // before the lock makes the set's directory
	}
	release, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	st, err := s.load()
	if err != nil {
		return err
	}
	picked, err := s.pick(names)
	if err != nil {
		return err
	}
	return do(st, picked)
}

// Start switches machines on, all without names, and returns when they answer over SSH.
func (s *Set) Start(ctx context.Context, names ...string) error {
	if err := s.checkRequirements(); err != nil {
		return err
	}
	s.prepareKernel()
	return s.change(ctx, names, func(st state, picked []machine) error { return s.start(ctx, st, picked) })
}

// Stop shuts machines down in order, all without names. One that has not ended after patience loses its power.
func (s *Set) Stop(ctx context.Context, patience time.Duration, names ...string) error {
	return s.change(ctx, names, func(_ state, picked []machine) error { return s.stop(ctx, patience, picked) })
}

func (s *Set) stop(ctx context.Context, patience time.Duration, picked []machine) error {
	return each(ctx, picked, func(ctx context.Context, m machine) error {
		g, err := s.cgroup(m.Name)
		if err != nil {
			return err
		}
		if running, err := g.populated(); err != nil || !running {
			return errors.Join(err, s.clear(ctx, g))
		}
		s.config.Progress(m.Name, "shutting down")
		const powerOff = syscall.Signal(34 + 4) // SIGRTMIN+4, systemd(1)
		pid, err := g.initPID()
		if err == nil {
			err = syscall.Kill(pid, powerOff)
		}
		if err == nil {
			waitCtx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("longer than %s", patience))
			err = g.waitEmpty(waitCtx)
			cancel()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			s.config.Progress(m.Name, fmt.Sprintf("does not shut down, switching it off: %v", err))
		}
		return s.powerOff(ctx, m, g)
	})
}

// Kill takes the power from machines, all without names: no process inside gets a chance. What they had written without
// syncing is not lost, though, because it is in the memory of the computer outside.
func (s *Set) Kill(ctx context.Context, names ...string) error {
	return s.change(ctx, names, func(_ state, picked []machine) error { return s.kill(ctx, picked) })
}

func (s *Set) kill(ctx context.Context, picked []machine) error {
	return each(ctx, picked, func(ctx context.Context, m machine) error {
		g, err := s.cgroup(m.Name)
		if err != nil {
			return err
		}
		return s.powerOff(ctx, m, g)
	})
}

func (s *Set) powerOff(ctx context.Context, m machine, g cgroup) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killTimeout, fmt.Errorf("longer than %s", killTimeout))
	defer cancel()
	s.forget(m.Name)
	if err := g.kill(ctx); err != nil {
		return err
	}
	if err := s.clear(ctx, g); err != nil {
		return err
	}
	s.config.Progress(m.Name, "off")
	return nil
}

// clear removes what is left of a machine that has no process any more.
func (s *Set) clear(ctx context.Context, g cgroup) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killTimeout, fmt.Errorf("longer than %s", killTimeout))
	defer cancel()
	return g.remove(ctx)
}

// Restart shuts machines down and starts them again, all without names.
func (s *Set) Restart(ctx context.Context, patience time.Duration, names ...string) error {
	return s.change(ctx, names, func(st state, picked []machine) error {
		if err := s.stop(ctx, patience, picked); err != nil {
			return err
		}
		return s.start(ctx, st, picked)
	})
}

// Reset makes machines fresh, all without names: power off, an empty disk, no cuts and no limit on the link, and on again.
// They keep their names, addresses, hardware and SSH host keys, and get a new machine ID.
func (s *Set) Reset(ctx context.Context, names ...string) error {
	if err := s.checkRequirements(); err != nil {
		return err
	}
	return s.change(ctx, names, func(st state, picked []machine) error {
		rootfs, err := s.ensureRootFS(ctx)
		if err != nil {
			return err
		}
		if err := s.kill(ctx, picked); err != nil {
			return err
		}
		for i, m := range picked {
			if err := os.Remove(s.diskFile(m.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			st.Cuts = withoutMachine(st.Cuts, m.Name)
			picked[i].LinkRate = 0
			picked[i].RootFS = rootfs
			if err := writeJSON(s.machineFile(m.Name, "machine.json"), picked[i]); err != nil {
				return err
			}
		}
		if err := s.save(st); err != nil {
			return err
		}
		return s.start(ctx, st, picked)
	})
}

// Down removes machines with their disks, all without names; with the last one goes everything else of the set. It also
// removes what killed programs have left.
func (s *Set) Down(ctx context.Context, names ...string) error {
	dropDeadProbes()
	if err := s.checkDir(); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	release, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	st, err := s.load()
	if errors.As(err, &noSetError{}) {
		return s.removeDir() // "up" was killed before anything else was made
	}
	if err != nil {
		return err
	}
	picked, err := s.pick(names)
	if err != nil {
		return err
	}
	if err := s.kill(ctx, picked); err != nil {
		return err
	}
	for _, m := range picked {
		st.Cuts = withoutMachine(st.Cuts, m.Name)
	}
	if err := s.save(st); err != nil {
		return err
	}
	for _, m := range picked {
		if err := os.RemoveAll(s.machineDir(m.Name)); err != nil {
			return err
		}
	}
	left, err := s.machines()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		if err := s.writeSSHFiles(st.Subnet); err != nil {
			return err
		}
		return s.reapplyTraffic(st)
	}
	if err := s.disconnectNetwork(st.Subnet); err != nil {
		return err
	}
	return s.removeDir()
}

// Cut separates a machine from everybody, or, with others, from these only. Its cable stays plugged in: nothing inside
// notices but that no answers come.
func (s *Set) Cut(ctx context.Context, name string, others ...string) error {
	return s.cuts(ctx, name, others, func(cuts [][2]string, pairs [][2]string) [][2]string {
		for _, p := range pairs {
			if !slices.Contains(cuts, p) {
				cuts = append(cuts, p)
			}
		}
		return cuts
	})
}

// Heal takes back what Cut did: all cuts of a machine, or, with others, those between it and these.
func (s *Set) Heal(ctx context.Context, name string, others ...string) error {
	return s.cuts(ctx, name, others, func(cuts [][2]string, pairs [][2]string) [][2]string {
		if len(others) == 0 {
			return withoutMachine(cuts, name)
		}
		return slices.DeleteFunc(cuts, func(c [2]string) bool { return slices.Contains(pairs, c) })
	})
}

func (s *Set) cuts(ctx context.Context, name string, others []string, edit func(cuts, pairs [][2]string) [][2]string) error {
	if slices.Contains(others, name) {
		return invalid("machine %s cannot be cut off from itself", name)
	}
	return s.change(ctx, append([]string{name}, others...), func(st state, _ []machine) error {
		pairs := [][2]string{pair(name, everybody)}
		if len(others) > 0 {
			pairs = nil
			for _, o := range others {
				pairs = append(pairs, pair(name, o))
			}
		}
		st.Cuts = edit(st.Cuts, pairs)
		if err := s.save(st); err != nil {
			return err
		}
		return s.reapplyTraffic(st)
	})
}

// Limit sets the rate of machines' links, in bits a second in each direction; 0 takes the limit away. It must be at least
// 64 kbit/s.
func (s *Set) Limit(ctx context.Context, rate int64, names ...string) error {
	if rate != 0 && rate < 64_000 {
		return invalid("a link of %d bits a second: want at least 64,000, or 0 for no limit", rate)
	}
	return s.change(ctx, names, func(_ state, picked []machine) error {
		ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("longer than %s", readyTimeout))
		defer cancel()
		return each(ctx, picked, func(ctx context.Context, m machine) error {
			m.LinkRate = rate
			if err := writeJSON(s.machineFile(m.Name, "machine.json"), m); err != nil {
				return err
			}
			g, err := s.cgroup(m.Name)
			if err != nil {
				return err
			}
			if running, err := g.populated(); err != nil || !running {
				return err // it is off; the limit holds from its next start
			}
			var pid int
			err = Wait(ctx, "it to boot", func(context.Context) (err error) { pid, err = g.initPID(); return err })
			if err != nil {
				return err
			}
			set, err := netns.GetFromPath(s.netnsPath())
			if err != nil {
				return fmt.Errorf("opening the set's network: %w", err)
			}
			defer set.Close()
			own, err := netns.GetFromPath(filepath.Join("/proc", fmt.Sprint(pid), "ns/net"))
			if err != nil {
				return err
			}
			defer own.Close()
			return s.shape(m, set, own)
		})
	})
}

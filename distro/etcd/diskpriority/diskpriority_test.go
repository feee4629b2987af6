package diskpriority

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// inherited is IOPRIO_CLASS_IDLE, level 0, which nothing has that was not given it.
const inherited = 3 << 13

// fake is a thread in memory. Each field says how one call ends.
type fake struct {
	now            int
	get, set, exec error
	forgets        bool
	calls          []string
}

func (f *fake) priority() (int, error) {
	f.calls = append(f.calls, "get")
	return f.now, f.get
}

func (f *fake) setPriority(p int) error {
	f.calls = append(f.calls, "set")
	if f.set == nil && !f.forgets {
		f.now = p
	}
	return f.set
}

func (f *fake) beginAgain() error {
	f.calls = append(f.calls, "exec")
	return f.exec
}

func TestRaiseOnce(t *testing.T) {
	for _, c := range []struct {
		name        string
		thread      fake
		calls, says string
	}{
		{"as the program was given it", fake{now: inherited}, "get set get exec", ""},
		{"begun again", fake{now: bestEffort0}, "get", ""},
		{"no such call in the kernel", fake{get: syscall.ENOSYS}, "get", "asking for it: function not implemented"},
		{"refused", fake{set: syscall.EPERM}, "get set", "best-effort 0: operation not permitted"},
		{"nothing stays", fake{forgets: true}, "get set get", "it is 0x0 afterwards"},
		{"no program", fake{exec: syscall.ENOENT}, "get set get exec", "beginning again with best-effort 0: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := raise(&c.thread)
			if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if got := strings.Join(c.thread.calls, " "); got != c.calls {
				t.Errorf("it did %s, not %s", got, c.calls)
			}
		})
	}
}

// childVariable makes the test program be what TestRaise starts.
const childVariable = "DISKPRIORITY_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	fmt.Println("begun")
	if err := Raise(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if err := report(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// report makes threads and says the process, its name and arguments, and what priority each thread has.
func report() error {
	const more = 8
	var ready, done sync.WaitGroup
	ready.Add(more)
	finish := make(chan struct{})
	for range more {
		done.Go(func() {
			runtime.LockOSThread() // each has a thread for itself
			ready.Done()
			<-finish
		})
	}
	ready.Wait()
	defer done.Wait()
	defer close(finish)
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return err
	}
	fmt.Printf("process %d %s %s\n", os.Getpid(), strings.TrimSpace(string(name)), os.Args[1:])
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		p, _, errno := syscall.Syscall(syscall.SYS_IOPRIO_GET, whoProcess, uintptr(id), 0)
		if errno != 0 {
			return errno
		}
		fmt.Printf("thread %d\n", p)
	}
	return nil
}

// The real thing: a process that was given another priority begins again once, is the same process of the same name with the same
// arguments, and all its threads have the priority.
func TestRaise(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "an", "argument")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// What is started has the priority of the thread that starts it. The thread ends with the test.
	runtime.LockOSThread()
	if err := (caller{}).setPriority(inherited); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: it said %q", err, said)
	}
	name := program[strings.LastIndex(program, "/")+1:]
	begin := []string{"begun", "begun", fmt.Sprintf("process %d %s [an argument]", cmd.Process.Pid, name[:min(len(name), 15)])}
	if len(said) < 3 || !slices.Equal(said[:3], begin) {
		t.Fatalf("it said %q, and should have begun with %q", said, begin)
	}
	threads := said[3:]
	if len(threads) < 9 {
		t.Errorf("it has only %d threads", len(threads))
	}
	for _, s := range threads {
		if s != fmt.Sprintf("thread %d", bestEffort0) {
			t.Errorf("a thread has another priority: %s", s)
		}
	}
}

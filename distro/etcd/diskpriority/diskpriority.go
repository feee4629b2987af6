// Package diskpriority gives a program the highest priority at the disk that needs no privilege. It knows nothing of the program.
package diskpriority

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// bestEffort0 is the highest level of the class best-effort, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 0) of include/uapi/linux/ioprio.h: what
// "ionice -c2 -n0" sets. The scheduler of the disk must be one that knows priorities, such as mq-deadline or bfq.
const bestEffort0 = 2 << 13

// whoProcess is IOPRIO_WHO_PROCESS of the same file; its process 0 is the calling thread.
const whoProcess = 1

// Raise gives the whole process best-effort 0. A priority is a single thread's, and new threads inherit their maker's: so the program begins
// again, as the same process, from a thread that has it, and then Raise finds it there and does nothing. It is for the beginning of main.
// After an error the program may go on as it is.
func Raise() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return raise(caller{})
}

// thread is what raise needs of a thread.
type thread interface {
	priority() (int, error)
	setPriority(int) error
	beginAgain() error // returns only when it fails
}

func raise(t thread) error {
	now, err := t.priority()
	if err != nil {
		return fmt.Errorf("asking for it: %w", err)
	}
	if now == bestEffort0 {
		return nil
	}
	if err := t.setPriority(bestEffort0); err != nil {
		return fmt.Errorf("setting it to best-effort 0: %w", err)
	}
	// What does not stay must not make the program begin again for ever.
	if now, err = t.priority(); err != nil {
		return fmt.Errorf("asking for it: %w", err)
	}
	if now != bestEffort0 {
		return fmt.Errorf("setting it to best-effort 0: it is %#x afterwards", now)
	}
	if err := t.beginAgain(); err != nil {
		return fmt.Errorf("beginning again with best-effort 0: %w", err)
	}
	return nil
}

// caller is the calling thread.
type caller struct{}

func (caller) priority() (int, error) {
	p, _, errno := syscall.Syscall(syscall.SYS_IOPRIO_GET, whoProcess, 0, 0)
	if errno != 0 {
		return 0, os.NewSyscallError("ioprio_get", errno)
	}
	return int(p), nil
}

func (caller) setPriority(p int) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOPRIO_SET, whoProcess, 0, uintptr(p)); errno != 0 {
		return os.NewSyscallError("ioprio_set", errno)
	}
	return nil
}

func (caller) beginAgain() error {
	// By its path: the kernel names the process after the file, and /proc/self/exe would make it "exe".
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return &os.PathError{Op: "exec", Path: program, Err: syscall.Exec(program, os.Args, os.Environ())}
}

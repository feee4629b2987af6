package resource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// programDirs are where programs lie. A connection's own list may lack those of root.
var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// leftOpen is how long somebody may keep the output of a killed program open.
const leftOpen = 2 * time.Second

// LocalExec runs programs on this machine.
type LocalExec struct{}

// Run runs a program in a process group of its own, all of which is killed when the context ends.
func (LocalExec) Run(ctx context.Context, c Command) (Output, error) {
	program, err := lookUp(c.Name)
	if err != nil {
		return Output{}, err
	}
	cmd := exec.CommandContext(ctx, program, c.Args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PATH=") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	cmd.Env = append(cmd.Env, "PATH="+strings.Join(programDirs, ":"), "LC_ALL=C")
	cmd.Env = append(cmd.Env, c.Env...)
	cmd.Stdin = c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = leftOpen
	err = cmd.Run()
	o := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	if ctx.Err() != nil {
		return o, fmt.Errorf("running %s: %w", c.Name, ctx.Err())
	}
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		// A program that was killed has the code that shells give it.
		if s, ok := failed.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			o.Code = 128 + int(s.Signal())
		} else {
			o.Code = failed.ExitCode()
		}
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("running %s: %w", c.Name, err)
	}
	return o, nil
}

func lookUp(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range programDirs {
		program := filepath.Join(dir, name)
		if fi, err := os.Stat(program); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 {
			return program, nil
		}
	}
	return "", fmt.Errorf("there is no program %s on this machine: %w", name, fs.ErrNotExist)
}

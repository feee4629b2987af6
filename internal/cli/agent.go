package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/resource"
)

// newAgent is what runs on hosts, for the length of an SSH session. It is not for people.
func newAgent() *cobra.Command {
	return &cobra.Command{
		Use: "agent TOKEN", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			// An agent lives for seconds, with some megabytes: to collect garbage less often costs little, and saves a tenth of its work.
			debug.SetGCPercent(400)
			if os.Geteuid() != 0 {
				return errors.New("the agent was not started as root")
			}
			// The end of the session is the end of the input. What is in hand then is finished, so neither the hang-up that may come with it nor what
			// is said to nobody may end the process. They are caught, not ignored: programs that the agent runs would inherit that.
			nobody := make(chan os.Signal, 1)
			signal.Notify(nobody, syscall.SIGHUP, syscall.SIGPIPE)
			if err := os.Chdir("/"); err != nil {
				return err
			}
			stream, err := takeStdio()
			if err != nil {
				return err
			}
			// Before it says that it is there: nothing is to be written where a client may be removing.
			if err := agent.Install(c.Context(), agent.Home); err != nil {
				fmt.Fprintln(os.Stderr, "Warning:", err)
			}
			if _, err := fmt.Fprintf(stream, "\n%s %s\n", agent.Magic, args[0]); err != nil {
				return err
			}
			local, err := resource.NewLocal("/")
			if err != nil {
				return err
			}
			defer func() { _ = local.Close() }()
			return agent.Serve(c.Context(), stream, agent.ServeOptions{Env: *local.Env(), Facts: agent.Gather, Lock: agent.FileLock{}})
		},
	}
}

// takeStdio makes a stream of standard input and output. Whatever else writes to standard output writes to standard error from now on.
func takeStdio() (io.ReadWriteCloser, error) {
	var s stdio
	for fd, f := range map[int]**os.File{0: &s.in, 1: &s.out} {
		taken, err := syscall.Dup(fd)
		if err != nil {
			return nil, err
		}
		syscall.CloseOnExec(taken)
		// So that closing the stream ends a read that waits.
		if err := syscall.SetNonblock(taken, true); err != nil {
			return nil, err
		}
		*f = os.NewFile(uintptr(taken), []string{"stdin", "stdout"}[fd])
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	return s, errors.Join(syscall.Dup3(int(null.Fd()), 0, 0), syscall.Dup3(2, 1, 0))
}

type stdio struct{ in, out *os.File }

func (s stdio) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s stdio) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }

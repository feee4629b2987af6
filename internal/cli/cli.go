// Package cli is the command line: one file a command. A command parses its flags, calls what does the work, and shows
// what came of it; it decides nothing itself.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/bundle/build"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/machines"
)

// Exit codes of every command.
const (
	exitFailed = 1   // something could not be done; the message says what, where and why
	exitUsage  = 2   // the command line is wrong; nothing was touched
	exitSignal = 130 // interrupted
)

// exitError carries the exit code of a program run on the user's behalf.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// failedError is an error that exits with exitFailed, whatever it is.
type failedError struct{ error }

func (e failedError) Unwrap() error { return e.error }

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Components are what a cluster is made of, given its software.
type Components func(b *bundle.Bundle) converge.Components

// Main runs the command line and returns the exit code. The first interrupt ends what runs in order, a second one at once. What clusters are made of is
// converge.Standard, but for tests.
func Main(args []string, components Components) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	// What is made for machines must be readable in them, whatever this user's mask; and the programs that root needs are
	// there, even behind a plain su.
	syscall.Umask(0o022)
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return exitFailed
	}

	root := newRoot(components)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	// Somebody else's exit code comes with somebody else's words; what is wrong with a file stands on lines of its own.
	switch {
	case errors.As(err, &exitError{}):
	case errors.As(err, &v1alpha1.InvalidError{}):
		fmt.Fprintln(os.Stderr, err)
	default:
		fmt.Fprintln(os.Stderr, "Error:", err)
	}
	if code := exitCode(err); code != exitFailed || ctx.Err() == nil {
		return code
	}
	return exitSignal
}

// exitCode is the exit code that an error stands for.
func exitCode(err error) int {
	var exit exitError
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &failedError{}):
		return exitFailed
	case errors.As(err, &usageError{}), errors.As(err, &machines.InvalidError{}), errors.As(err, &build.InvalidError{}), errors.As(err, &v1alpha1.InvalidError{}):
		return exitUsage
	}
	return exitFailed
}

func newRoot(components Components) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubewright",
		Short: "Builds highly available Kubernetes clusters from one file, and keeps them so",
		Long: `Kubewright turns one file and a set of Linux machines reachable over SSH into a production, highly available
Kubernetes cluster. Each change is shown before it is made, can be interrupted anywhere and made again, and what was made is kept as the file says.
It also makes the software that runs on nodes, and machines to try all of it on: local ones, on this computer.

Exit codes: 0 done · 1 failed, the message says what, where and why · 2 the command line or a file is wrong, nothing was
touched; with "plan --detailed-exitcode": there is something to do · 130 interrupted. "machines ssh" exits as the command on the machine did.`,
		Example:       "  kubewright bundle build\n  kubewright machines up --count 5\n  kubewright init --from-machines\n  kubewright validate\n  kubewright plan\n  kubewright apply\n  kubewright status\n  kubewright kubeconfig --merge\n  kubewright runs show",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
	})
	root.AddCommand(newAgent(), newApply(components), newBundle(), newCheck(components), newDoctor(components), newEndpoint(), newEtcd(components), newExplain(), newInit(), newJoinCommand(components), newKubeconfig(components), newLogs(components), newMachines(), newNetwork(components), newNode(components), newPlan(components), newRecoverConfig(), newReset(components), newRuns(), newSchema(), newSize(), newStatus(components), newSupportBundle(components), newValidate())
	markUsageErrors(root)
	return root
}

// markUsageErrors makes wrong arguments of any command a usageError, as wrong flags are.
func markUsageErrors(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{fmt.Errorf("%w\nUsage: %s", err, c.UseLine())}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsageErrors(sub)
	}
}

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/ui"
)

// followEvery is how often a log is looked at that is followed.
const followEvery = time.Second

func newLogs(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var file string
	of := converge.LogOf{}
	var follow bool
	c := &cobra.Command{
		Use:   "logs HOST COMPONENT",
		Short: "Show what a component on a host said, also when no API server answers",
		Long: `Connects to one host and shows the last lines of what a component on it said. It asks the host itself, so it works for static Pods that no API server shows, and when the kubelet
does not run.

COMPONENT is kubelet, containerd, endpoint (the balancer in front of the API), time (chrony), kernel, a unit of systemd with its suffix (sshd.service), or the name of a container: etcd,
kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kube-flannel, coredns, or any other. Of several containers of a name it is the newest.`,
		Example: "  kubewright logs m1 kubelet\n  kubewright logs m1 kube-apiserver --previous\n  kubewright logs m1 etcd --lines 1000 --follow\n  kubewright logs m1 kernel --file prod.yaml",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if of.Lines < 1 {
				return usageError{fmt.Errorf("--lines %d: want at least 1", of.Lines)}
			}
			if follow && of.Previous {
				return usageError{errors.New("a container that ended says no more: --follow and --previous exclude each other")}
			}
			var names []string
			if file != "" {
				names = []string{file}
			}
			in, err := readInput(c, names, false)
			if err != nil {
				return err
			}
			f.only, of.Host, of.Component = args[0], args[0], args[1]
			w, err := f.open(c, in, "logs")
			if err != nil {
				return err
			}
			defer w.Close()
			return showLog(c.Context(), c, f.output, w, of, follow)
		},
	}
	f.addOutput(c, "o")
	f.addHosts(c)
	c.Flags().StringVar(&file, "file", "", "the cluster file; "+clusterFile+" by default")
	c.Flags().IntVarP(&of.Lines, "lines", "n", 100, "how many lines, the last ones")
	c.Flags().BoolVarP(&of.Previous, "previous", "p", false, "of the container before the one that runs, or ran last")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what it says from now on, until interrupted")
	return c
}

// showLog prints the lines, and says on standard error what they are of. As JSON, each reading is an object on a line. What is followed may go and come again.
func showLog(ctx context.Context, c *cobra.Command, output string, w *work, of converge.LogOf, follow bool) error {
	w.view.Close() // what it draws would be drawn over the lines
	lines := json.NewEncoder(c.OutOrStdout())
	source := ""
	for {
		found, err := w.Log(ctx, of)
		switch {
		case ctx.Err() != nil && follow:
			return nil // whoever follows ends it so
		case err != nil && source == "":
			return err
		case err != nil: // what is followed is being started anew, or its host
			fmt.Fprintf(c.ErrOrStderr(), "-- %v; trying again\n", err)
		case output == "json":
			if len(found.Lines) > 0 || source == "" {
				err = lines.Encode(found)
			}
		default:
			err = printLog(c, found, source)
		}
		if err != nil && found.Source != "" {
			return err
		}
		if found.Source != "" {
			source, of.After = found.Source, found.Cursor
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}

func printLog(c *cobra.Command, found resource.LogFound, before string) error {
	if found.Source != before {
		fmt.Fprintf(c.ErrOrStderr(), "-- %s\n", found.Source)
	}
	text := func(s string) string { return s }
	if file, ok := c.OutOrStdout().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		text = ui.Printable // who writes logs must not command terminals
	}
	out := bufio.NewWriter(c.OutOrStdout())
	for _, l := range found.Lines {
		fmt.Fprintln(out, text(l))
	}
	return out.Flush()
}

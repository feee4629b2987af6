package cli

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
	"github.com/kubewright/kubewright/internal/ui/picture"
)

func newRuns() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "runs",
		Short: "List what was done from this computer, and where the time went",
		Long: `Lists the runs of apply, reset and node that were made from this computer, newest first; "runs show" tells of one which steps the end waited for.
They lie in $XDG_STATE_HOME/kubewright/runs, or ~/.local/state/kubewright/runs, one file of JSON lines each. No command needs them: delete what you like.`,
		Example: "  kubewright runs\n  kubewright runs show\n  kubewright runs show 20261121-103000-1a2b3c --output json",
		Args:    cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", output)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := runsDir()
			if err != nil {
				return err
			}
			ids, err := run.Runs(dir)
			if err != nil {
				return err
			}
			type listed struct {
				ID string `json:"id"`
				run.Report
			}
			all := []listed{}
			for _, id := range ids {
				events, err := run.ReadRun(dir, id)
				if err != nil {
					fmt.Fprintf(c.ErrOrStderr(), "Warning: %s: %v\n", id, err)
					continue
				}
				all = append(all, listed{id, run.MakeReport(events)})
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), all)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintln(c.OutOrStdout(), "no runs yet")
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "RUN\tWHAT\tOUTCOME\tHOSTS\tSTEPS\tFAILED\tTIME")
			for _, r := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", r.ID, r.What, r.Outcome, r.Hosts, r.Done, r.Failed, ui.Seconds(r.Elapsed))
			}
			return w.Flush()
		},
	}
	c.PersistentFlags().StringVarP(&output, "output", "o", "text", "text, or json on standard output")
	c.AddCommand(newRunsShow(&output))
	return c
}

func newRunsShow(output *string) *cobra.Command {
	var html string
	c := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Show a run, the last one by default: what failed, and where the time went",
		Long: `Shows a run, the last one by default: what failed, and which steps the end waited for. With --html it is drawn instead, with a line of time for each host, as one
file that any browser shows and that needs nothing else. It names hosts and says what they said, so it is for its owner's eyes only until you give it away.`,
		Example: "  kubewright runs show\n  kubewright runs show 20261121-103000-1a2b3c\n  kubewright runs show --html run.html\n  kubewright runs show --html - > run.html",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if html != "" && *output == "json" {
				return usageError{fmt.Errorf("--html and --output json are two ways to show a run; want one of them")}
			}
			dir, err := runsDir()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				ids, err := run.Runs(dir)
				if err != nil {
					return err
				}
				if len(ids) == 0 {
					return usageError{fmt.Errorf("there are no runs yet")}
				}
				args = ids[:1]
			}
			events, err := run.ReadRun(dir, args[0])
			if err != nil {
				return usageError{err}
			}
			if html != "" {
				return drawRun(c.OutOrStdout(), html, args[0], events)
			}
			r := run.MakeReport(events)
			if *output == "json" {
				return writeJSON(c.OutOrStdout(), r)
			}
			return showRun(c, args[0], r)
		},
	}
	c.Flags().StringVar(&html, "html", "", "draw it in this file, for browsers; - for standard output")
	return c
}

// drawRun writes the picture of a run, and says where it is.
func drawRun(out io.Writer, path, id string, events []event.Event) error {
	t := run.MakeTimeline(events)
	if path == "-" {
		return picture.Write(out, id, t)
	}
	var b bytes.Buffer
	if err := picture.Write(&b, id, t); err != nil {
		return err
	}
	if err := writePrivate(path, b.Bytes()); err != nil {
		return fmt.Errorf("writing the picture of run %s: %w", id, err)
	}
	_, err := fmt.Fprintf(out, "%s shows run %s; open it in a browser\n", path, id)
	return err
}

// shownResources of each step on the critical path.
const shownResources = 3

func showRun(c *cobra.Command, id string, r run.Report) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s: %s, %s in %s\n", id, r.What, r.Outcome, ui.Seconds(r.Elapsed))
	fmt.Fprintf(w, "%s, %s done, %d failed, %d not begun, %s\n", count(r.Hosts, "host"), count(r.Done, "step"), r.Failed, r.Skipped, count(r.Rounds, "round"))
	for _, v := range r.Failures {
		fmt.Fprintln(w, ui.Line(v))
	}
	if r.Error != "" {
		fmt.Fprintln(w, r.Error)
	}
	if len(r.Critical) > 0 {
		fmt.Fprintln(w, "\nCritical path: the end waited for these, one after the other\nAT\tTOOK\tHOST\tWHAT")
		for _, s := range r.Critical {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", ui.Seconds(s.Begin), ui.Seconds(s.Elapsed), s.Host, s.Step)
			for _, part := range s.Resources[:min(len(s.Resources), shownResources)] {
				fmt.Fprintf(w, "\t%s\t\t  %s\n", ui.Seconds(part.Elapsed), part.Resource)
			}
		}
	}
	if len(r.Slowest) > 0 {
		fmt.Fprintln(w, "\nSlowest of all\n\tTOOK\tHOST\tWHAT")
		for _, s := range r.Slowest {
			fmt.Fprintf(w, "\t%s\t%s\t%s: %s\n", ui.Seconds(s.Elapsed), s.Host, s.Step, s.Resource)
		}
	}
	return w.Flush()
}

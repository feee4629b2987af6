package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
)

func newSupportBundle(components Components) *cobra.Command {
	f := &clusterFlags{components: components, bundleOptional: true}
	var out string
	c := &cobra.Command{
		Use:   "support-bundle [FILE]",
		Short: "Put all that tells how a cluster is into one file for others, without what looks like a secret",
		Long: `Gathers what "kubewright doctor" finds, the plan, what hosts are, the last lines of what all components on them said, the cluster file, and the last runs from this computer, and writes
one compressed archive that only you may read. What looks like a key, a token or a password is taken out and counted; look through it all the same before you hand it on: names and addresses
of hosts are in it.

Hosts that do not answer are named in it, and nothing waits for them. It takes no locks and changes nothing, and measures what "kubewright check" measures.`,
		Example: "  kubewright support-bundle\n  kubewright support-bundle prod.yaml --out prod.tar.gz",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "support-bundle")
			if err != nil {
				return err
			}
			defer w.Close()
			a := newArchive(fmt.Sprintf("kubewright-%s-%s", w.cluster.Name, time.Now().UTC().Format("20060102-150405")))
			if out == "" {
				out = a.dir + ".tar.gz"
			}
			if err := gather(c.Context(), a, w, in); err != nil {
				return err
			}
			w.Close()
			content, err := a.finish()
			if err != nil {
				return err
			}
			if err := writePrivate(out, content); err != nil {
				return err
			}
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), struct {
					File    string `json:"file"`
					Bytes   int    `json:"bytes"`
					Files   int    `json:"files"`
					Removed int    `json:"removed"`
				}{out, len(content), a.files, a.removed})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s in %d files; %s that looked like secrets taken out. Look through it before you hand it on.\n", out, size(int64(len(content))), a.files, count(a.removed, "piece"))
			return err
		},
	}
	f.add(c, "o")
	c.Flags().StringVar(&out, "out", "", "the file to write; by default kubewright-CLUSTER-TIME.tar.gz here")
	return c
}

// runsKept are how many of the last runs are put in.
const runsKept = 5

// gather puts in everything that can be found out. What cannot says so in its place.
func gather(ctx context.Context, a *archive, w *work, in input) error {
	a.add("cluster.yaml", in.content)
	d, err := w.Diagnose(ctx, w.noBundle)
	if err != nil {
		return err
	}
	a.addJSON("diagnosis.json", d)
	a.addText("doctor.txt", func(b *bytes.Buffer) error { return showDiagnosis(b, d) })
	a.addText("status.txt", func(b *bytes.Buffer) error { return showStatus(b, d.Status) })
	a.addText("check.txt", func(b *bytes.Buffer) error { return showChecks(b, d.Checks) })
	if d.Plan != nil {
		a.addText("plan.txt", func(b *bytes.Buffer) error { return d.Plan.Text(b, plan.TextOptions{Notes: true}) })
	}
	hosts, missing := w.Facts()
	w.event(event.Event{Kind: event.Note, Message: fmt.Sprintf("gathering what the components of %s said", count(len(hosts), "host"))})
	logs := make([][]file, len(w.cluster.Hosts))
	var gathering errgroup.Group
	gathering.SetLimit(hostsAtOnce)
	for i, h := range w.cluster.Hosts {
		if _, answered := hosts[h.Name]; answered {
			gathering.Go(func() error {
				logs[i] = logsOf(ctx, w, h.Name)
				return nil
			})
		}
	}
	_ = gathering.Wait() // what failed stands in its place
	for i, h := range w.cluster.Hosts {
		dir := path.Join("hosts", h.Name)
		facts, answered := hosts[h.Name]
		if !answered {
			a.add(dir+"/missing.txt", []byte(missing[h.Name]))
			continue
		}
		a.addJSON(dir+"/facts.json", facts)
		for _, l := range logs[i] {
			a.add(path.Join(dir, "logs", l.name), l.content)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return addRuns(a, w.cluster.Name)
}

const (
	// logTime is how long a host may take for what its components said.
	logTime = time.Minute
	// hostsAtOnce are asked for it: all of it is held in memory.
	hostsAtOnce = 16
)

// file of an archive.
type file struct {
	name    string
	content []byte
}

// logsOf are what the components of a host said, or why that cannot be read.
func logsOf(ctx context.Context, w *work, host string) []file {
	limited, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	logs, err := w.Logs(limited, host)
	if err != nil {
		return []file{{"missing.txt", []byte(err.Error() + "\n")}}
	}
	var list []file
	for _, l := range logs {
		text := "-- " + l.Source + "\n" + strings.Join(l.Lines, "\n") + "\n"
		if l.Problem != "" {
			text += "-- it cannot be read: " + l.Problem + "\n"
		}
		list = append(list, file{filepath.Base(l.Name) + ".log", []byte(text)})
	}
	return list
}

// addRuns are the last runs on a cluster from this computer.
func addRuns(a *archive, cluster string) error {
	dir, err := runsDir()
	if err != nil {
		return err
	}
	ids, err := run.Runs(dir)
	if err != nil {
		return err
	}
	kept := 0
	for _, id := range ids {
		if kept == runsKept {
			break
		}
		events, err := run.ReadRun(dir, id)
		if err != nil || !strings.HasSuffix(run.MakeReport(events).What, " "+cluster) {
			continue
		}
		var lines bytes.Buffer
		e := json.NewEncoder(&lines)
		for _, v := range events {
			if err := e.Encode(v); err != nil {
				return err
			}
		}
		a.add("runs/"+id+".jsonl", lines.Bytes())
		kept++
	}
	return nil
}

// archive is one that is written: everything goes through redact.
type archive struct {
	dir     string // that all files are in
	files   int
	removed int // pieces that looked like secrets

	content bytes.Buffer
	zip     *gzip.Writer
	tar     *tar.Writer
	made    time.Time
	err     error // all that failed
}

func newArchive(dir string) *archive {
	a := &archive{dir: dir, made: time.Now()}
	a.zip = gzip.NewWriter(&a.content)
	a.tar = tar.NewWriter(a.zip)
	return a
}

func (a *archive) add(name string, content []byte) {
	content, n := redact(content)
	a.removed += n
	a.files++
	err := a.tar.WriteHeader(&tar.Header{Name: path.Join(a.dir, name), Mode: 0o600, Size: int64(len(content)), ModTime: a.made, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = a.tar.Write(content)
	}
	a.err = errors.Join(a.err, err)
}

func (a *archive) addJSON(name string, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	a.err = errors.Join(a.err, err)
	a.add(name, append(b, '\n'))
}

func (a *archive) addText(name string, write func(*bytes.Buffer) error) {
	var b bytes.Buffer
	a.err = errors.Join(a.err, write(&b))
	a.add(name, []byte(ui.Printable(b.String())))
}

func (a *archive) finish() ([]byte, error) {
	if err := errors.Join(a.err, a.tar.Close(), a.zip.Close()); err != nil {
		return nil, err
	}
	return a.content.Bytes(), nil
}

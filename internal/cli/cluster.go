package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ssh"
	"github.com/kubewright/kubewright/internal/ui"
)

// clusterFile is the name that a cluster file has unless somebody says otherwise.
const clusterFile = "cluster.yaml"

// clusterFlags are common to all commands that work on a cluster's hosts.
type clusterFlags struct {
	components Components

	kubernetes, store, output, sudoCommand string
	accept                                 bool
	lockTimeout                            time.Duration
	force                                  bool   // what stands in the way and says what is lost is overruled
	changes                                bool   // the command changes hosts: it takes the locks, and is recorded
	lockFirst                              bool   // the command applies, and does nothing before
	bundleOptional                         bool   // the command goes on without a bundle
	only                                   string // the one host that it is about; empty for all
}

// add adds them; shorthand is that of --output.
func (f *clusterFlags) add(c *cobra.Command, shorthand string) {
	c.Flags().StringVar(&f.kubernetes, "kubernetes", "", "version of Kubernetes whose bundle is used; what the cluster file says, or the newest in the store by default")
	c.Flags().StringVar(&f.store, "store", defaultStore(), "directory that holds the bundles")
	f.addOutput(c, shorthand)
	f.addHosts(c)
}

// addOutput adds the flag that says what is written; shorthand is its letter.
func (f *clusterFlags) addOutput(c *cobra.Command, shorthand string) {
	c.Flags().StringVarP(&f.output, "output", shorthand, "text", "text, or json on standard output")
}

// addHosts adds those about connecting to hosts alone: a command that has no others needs no bundle.
func (f *clusterFlags) addHosts(c *cobra.Command) {
	c.Flags().BoolVar(&f.accept, "accept-new-host-keys", false, "take hosts that answer for the first time for what they say they are; changed keys are refused all the same")
	c.Flags().StringVar(&f.sudoCommand, "sudo-password-command", "", "command (of /bin/sh) that prints the password that sudo wants; KUBEWRIGHT_HOST says on which host. By default it is asked for")
}

// addLockTimeout adds the flag of commands that change hosts.
func (f *clusterFlags) addLockTimeout(c *cobra.Command) {
	f.changes = true
	c.Flags().DurationVar(&f.lockTimeout, "lock-timeout", 10*time.Minute, "how long to wait for another run; 0 is until it ends")
}

// work is a command's work on the hosts of a cluster.
type work struct {
	*converge.Session
	cluster *cluster.Cluster
	bundle  *bundle.Bundle // nil if the command has no use for one
	// noBundle is why there is none, for a command that goes on without.
	noBundle string
	saved    plan.Saved // what a plan of this would be saved with
	view     ui.View
	runID    string

	events event.Sink
	close  []func()
}

// input is a cluster file, or a saved plan that holds one.
type input struct {
	name    string // for messages
	dir     string // that paths in it are relative to
	content []byte
	saved   *plan.Saved
}

// readInput reads a cluster file, or the plan that was saved of one.
func readInput(c *cobra.Command, args []string, plans bool) (input, error) {
	in := input{name: clusterFile}
	if len(args) > 0 {
		in.name = args[0]
	}
	var err error
	if in.content, err = readFile(c, in.name); err != nil {
		if len(args) == 0 && errors.Is(err, os.ErrNotExist) {
			return in, usageError{fmt.Errorf("there is no %s here; name a cluster file, or go where it is", clusterFile)}
		}
		return in, usageError{err}
	}
	path, err := filepath.Abs(in.name)
	if err != nil {
		return in, err
	}
	in.dir = filepath.Dir(path)
	saved, ok, err := plan.ParseSaved(in.content)
	switch {
	case err != nil:
		return in, usageError{fmt.Errorf("%s: %w", in.name, err)}
	case ok && !plans:
		return in, usageError{fmt.Errorf("%s is a saved plan; name the cluster file", in.name)}
	case ok:
		in.saved, in.content, in.dir = &saved, saved.Content, filepath.Dir(saved.File)
	}
	return in, nil
}

// open reads the cluster file and, if the command wants one, the bundle, and connects to all hosts.
func (f *clusterFlags) open(c *cobra.Command, in input, doing string) (w *work, err error) {
	if f.output != "" && f.output != "text" && f.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q: want text or json", f.output)}
	}
	ctx := c.Context()
	name := in.name
	if in.saved != nil {
		name = in.saved.File
	}
	spec, err := v1alpha1.Parse(name, in.content)
	if err != nil {
		return nil, err
	}
	begun := &work{} // not w, which is nothing by then where an error is returned
	w = begun
	defer func() {
		if err != nil {
			if begun.events != nil {
				begun.end(err)
			}
			begun.Close()
		}
	}()
	if w.cluster, err = cluster.Load(ctx, spec, in.dir); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", name, err)}
	}
	if f.only != "" {
		if err := w.limit(f.only); err != nil {
			return nil, err
		}
	}
	o := converge.Options{Cluster: w.cluster, File: in.content, LockTimeout: f.lockTimeout, LockFirst: f.lockFirst, Force: f.force}
	if f.store != "" {
		err := f.openBundle(ctx, w, in, &o)
		if err != nil && (!f.bundleOptional || errors.As(err, &usageError{}) || ctx.Err() != nil) {
			return nil, err
		} else if err != nil {
			w.noBundle = err.Error()
		}
	}
	if w.runID, err = converge.NewRunID(time.Now()); err != nil {
		return nil, err
	}
	if f.changes && f.output == "json" {
		w.view = ui.New(c.OutOrStdout(), true)
	} else { // of a command that only looks, what it found is what it says
		w.view = ui.New(c.ErrOrStderr(), false)
	}
	w.close = append(w.close, w.view.Close)
	w.events, o.Run.Waits = w.view.Event, w.view.Waits
	if f.changes {
		dir, err := runsDir()
		if err != nil {
			return nil, err
		}
		journal, err := run.NewJournal(dir, w.runID)
		if err != nil {
			return nil, err
		}
		w.close = append(w.close, func() {
			if err := journal.Close(); err != nil {
				fmt.Fprintln(c.ErrOrStderr(), "Warning: the record of the run is not complete:", err)
			}
		})
		w.events = func(v event.Event) {
			journal.Record(v)
			w.view.Event(v)
		}
	}
	w.event(event.Event{Kind: event.RunStarted, Message: doing + " " + w.cluster.Name})
	binary, err := agent.OpenBinary("")
	if err != nil {
		return nil, err
	}
	w.close = append(w.close, func() { _ = binary.Close() })
	asking := &asking{c: c, view: w.view}
	dialer, err := ssh.NewDialer(ssh.Config{
		FirstContact: asking.firstContact(f.accept), Passphrase: asking.passphrase,
		Notice: func(m string) { w.event(event.Event{Kind: event.Note, Message: m}) },
	})
	if err != nil {
		return nil, err
	}
	w.close = append(w.close, dialer.Close)
	me, from := "somebody", "an unknown computer"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	if name, err := os.Hostname(); err == nil {
		from = name
	}
	o.Connect, o.Events = converge.OverSSH(dialer, binary, asking.sudo(f.sudoCommand)), w.events
	o.Holder = agent.Holder{Run: w.runID, Who: me, From: from, Since: time.Now(), Doing: doing + " " + w.cluster.Name}
	w.Session, err = converge.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	w.close = append(w.close, w.Session.Close)
	return w, nil
}

// answer prints what a command that only looks has found, for people by show, and says by the exit code whether all is well: what is not stands in what was printed.
func (f *clusterFlags) answer(c *cobra.Command, found any, well bool, show func(io.Writer) error) error {
	var err error
	if f.output == "json" {
		err = writeJSON(c.OutOrStdout(), found)
	} else {
		var text bytes.Buffer
		if err = show(&text); err == nil {
			_, err = io.WriteString(c.OutOrStdout(), ui.Printable(text.String()))
		}
	}
	if err == nil && !well {
		err = exitError{exitFailed}
	}
	return err
}

// limit has the work be about one host of the cluster.
func (w *work) limit(host string) error {
	h := w.cluster.Host(host)
	if h == nil {
		var names []string
		for _, h := range w.cluster.Hosts {
			names = append(names, h.Name)
		}
		return usageError{fmt.Errorf("the cluster file has no host %s; it has %s", host, fewNames(names))}
	}
	spec := *w.cluster.Cluster
	spec.Hosts = []v1alpha1.Host{*h}
	limited := *w.cluster
	limited.Cluster = &spec
	w.cluster = &limited
	return nil
}

// openBundle finds the node software, and has the session use it.
func (f *clusterFlags) openBundle(ctx context.Context, w *work, in input, o *converge.Options) error {
	store, err := bundle.Open(f.store)
	if err != nil {
		return err
	}
	version := w.cluster.KubernetesVersion
	if version != "" && f.kubernetes != "" && version != f.kubernetes {
		return usageError{fmt.Errorf("the cluster file says kubernetesVersion: %s, and --kubernetes %s: leave one of them out", version, f.kubernetes)}
	}
	if w.bundle, err = f.find(ctx, store, cmp.Or(f.kubernetes, version), in.saved); err != nil {
		return err
	}
	name := in.name
	if in.saved != nil {
		name = in.saved.File
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	w.saved = plan.Saved{Made: time.Now().UTC().Truncate(time.Second), File: path, Content: in.content, Kubernetes: w.bundle.Kubernetes, Bundle: w.bundle.Digest}
	o.Components, o.Blobs = f.components(w.bundle), storeBlobs{store}
	return nil
}

func (w *work) event(v event.Event) {
	v.Time = time.Now()
	w.events(v)
}

// end says how the work ended.
func (w *work) end(err error) {
	switch {
	case errors.Is(err, converge.ErrDeclined):
		w.event(event.Event{Kind: event.RunDeclined})
	case errors.Is(err, context.Canceled): // before the run began
		w.event(event.Event{Kind: event.RunInterrupted, Message: "nothing was changed"})
	}
	v := event.Event{Kind: event.RunDone}
	if err != nil {
		v.Error = err.Error()
	}
	w.event(v)
}

// Close ends everything that was opened, last things first.
func (w *work) Close() {
	for i := len(w.close) - 1; i >= 0; i-- {
		w.close[i]()
	}
	w.close = nil
}

// find is the bundle that is asked for, the one that a saved plan was made with, or the newest.
func (f *clusterFlags) find(ctx context.Context, store *bundle.Store, version string, saved *plan.Saved) (*bundle.Bundle, error) {
	if saved != nil {
		b, err := store.Find(ctx, saved.Kubernetes, "")
		if err == nil && b.Digest != saved.Bundle {
			err = fmt.Errorf("the bundle of %s is not the one that the plan was made with; plan again", saved.Kubernetes)
		}
		return b, err
	}
	if version != "" {
		return store.Find(ctx, version, "")
	}
	all, err := store.List(ctx)
	if len(all) > 0 {
		return all[0], nil
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("there is no bundle of node software in %s; make one with \"kubewright bundle build\" or fetch one with \"kubewright bundle import\"", f.store)
}

// storeBlobs are the blobs of a store by their digests.
type storeBlobs struct{ *bundle.Store }

func (s storeBlobs) Open(digest string) (io.ReadCloser, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, err
	}
	return s.Blob(h)
}

// runsDir is where the XDG Base Directory Specification has what programs did.
func runsDir() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("looking for your home directory: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "kubewright", "runs"), nil
}

// asking asks a person, one question at a time.
type asking struct {
	c    *cobra.Command
	view ui.View

	mu       sync.Mutex
	password []byte // that sudo wants, once it was asked for
}

func (a *asking) firstContact(accept bool) func(context.Context, ssh.FirstContact) (bool, error) {
	if accept {
		return func(_ context.Context, f ssh.FirstContact) (bool, error) {
			a.view.Event(event.Event{Time: time.Now(), Kind: event.Note, Host: f.Host, Message: fmt.Sprintf("is new; its %s key is %s", f.KeyType, f.Fingerprint)})
			return true, nil
		}
	}
	if _, ok := person(a.c); !ok {
		return nil
	}
	return func(_ context.Context, f ssh.FirstContact) (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.view.Pause()
		defer a.view.Resume()
		question := fmt.Sprintf("%s (%s) answers for the first time. Its %s key has the fingerprint\n  %s\nIs it the right one?", f.Host, f.Address, f.KeyType, f.Fingerprint)
		err := ask(a.c, question, errors.New("no"))
		if a.c.Context().Err() != nil {
			return false, err
		}
		return err == nil, nil
	}
}

func (a *asking) passphrase(ctx context.Context, file string) ([]byte, error) {
	return a.secret(ctx, fmt.Sprintf("Passphrase of %s: ", file))
}

// secret reads a line that is not shown; nothing if nobody is there to be asked.
func (a *asking) secret(ctx context.Context, prompt string) ([]byte, error) {
	in, ok := person(a.c)
	if !ok {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.read(ctx, in, prompt)
}

func (a *asking) read(ctx context.Context, in *os.File, prompt string) ([]byte, error) {
	a.view.Pause()
	defer a.view.Resume()
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(a.c.ErrOrStderr(), prompt)
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // ends with the answer or the program: a terminal cannot be read with a context
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	select {
	case r := <-answers:
		fmt.Fprintln(a.c.ErrOrStderr())
		return r.line, r.err
	case <-ctx.Done():
		fmt.Fprintln(a.c.ErrOrStderr())
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}

// sudo finds the password that sudo wants on a host: by a command, or from the person, who is asked once for all hosts.
func (a *asking) sudo(command string) func(ctx context.Context, host string) ([]byte, error) {
	if command != "" {
		return func(ctx context.Context, host string) ([]byte, error) {
			cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
			cmd.Env = append(os.Environ(), "KUBEWRIGHT_HOST="+host)
			cmd.Stderr = a.c.ErrOrStderr()
			out, err := cmd.Output()
			if err != nil {
				return nil, fmt.Errorf("the command of --sudo-password-command: %w", err)
			}
			return []byte(strings.TrimRight(string(out), "\r\n")), nil
		}
	}
	return func(ctx context.Context, _ string) ([]byte, error) {
		in, ok := person(a.c)
		if !ok {
			return nil, nil
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.password == nil {
			var err error
			if a.password, err = a.read(ctx, in, "Password for sudo on the hosts: "); err != nil {
				return nil, err
			}
		}
		return append([]byte(nil), a.password...), nil // it is wiped when it was used
	}
}

package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/internal/resource"
)

// Where a machine remembers things, below Dir.
const (
	ownedFile = Dir + "/owned.json"
	keptDir   = Dir + "/kept"         // contents of files that were replaced, by digest
	marksFile = Dir + "/pending.json" // what changed without what reads it having been restarted
)

// entry is something that Kubewright put on the machine.
type entry struct {
	ID       resource.ID       `json:"id"`
	Resource resource.Encoded  `json:"resource"`
	Previous resource.Observed `json:"previous"`
	// Found says that it was there as it shall be before Kubewright did anything: it is left so.
	Found bool `json:"found,omitempty"`
	// Directories that were not there before, the lowest first; they go with it if they are empty.
	Directories []string `json:"directories,omitempty"`
}

// mark says that some resources changed, in a boot, and that another takes effect of them when it is applied.
type mark struct {
	ID   resource.ID   `json:"id"`
	By   []resource.ID `json:"by"`
	Boot string        `json:"boot"`
}

// ownedList is what the machine remembers: what Kubewright put there, in order, with what was there before. It is written before the thing is. A list that is
// lost forgets, so nothing is taken away by mistake.
type ownedList struct {
	files resource.Files

	mu      sync.Mutex
	loaded  bool
	entries []entry
	marks   []mark
}

// private are files for root's eyes: what was replaced may have been a secret.
var private = resource.Attributes{Mode: 0o600}

func (l *ownedList) load() error {
	if l.loaded {
		return nil
	}
	if err := l.read(ownedFile, &l.entries); err != nil {
		return err
	}
	if err := l.read(marksFile, &l.marks); err != nil {
		return err
	}
	l.loaded = true
	return nil
}

func (l *ownedList) read(file string, v any) error {
	r, err := l.files.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s cannot be understood: %w. If it cannot be mended, move it away: what is on the machine then stays, also after a reset", file, err)
	}
	return nil
}

func (l *ownedList) write(file string, v any) error {
	b, err := json.Marshal(v) // compact, so that what is read back compares equal
	if err != nil {
		return err
	}
	if err := l.files.Mkdir(Dir, resource.Attributes{Mode: 0o755}); err != nil {
		return err
	}
	return l.files.Write(file, private, bytes.NewReader(b))
}

func (l *ownedList) find(id resource.ID) int {
	return slices.IndexFunc(l.entries, func(e entry) bool { return e.ID == id })
}

// add remembers a resource before it is applied: what was there before the first time, and what it is now.
func (l *ownedList) add(r resource.Resource, before resource.Observed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	encoded, err := resource.Encode(r)
	if err != nil {
		return err
	}
	i := l.find(r.ID())
	if i >= 0 && bytes.Equal(l.entries[i].Resource.Spec, encoded.Spec) {
		return nil // what was changed since is not what was found
	}
	if i >= 0 && !l.entries[i].Found {
		l.entries[i].Resource = encoded
		return l.write(ownedFile, l.entries)
	}
	e := entry{ID: r.ID(), Resource: encoded, Previous: remembered(before)}
	if k, ok := r.(resource.Keeper); ok {
		for _, p := range k.Keeps() {
			if err := l.keep(p); err != nil {
				return err
			}
			if e.Directories, err = l.missing(p, e.Directories); err != nil {
				return err
			}
		}
	}
	if i >= 0 {
		l.entries[i] = e // it was found as it should be then, and is to be something else now
	} else {
		l.entries = append(l.entries, e)
	}
	return l.write(ownedFile, l.entries)
}

// remembered is what is kept of an observation.
func remembered(o resource.Observed) resource.Observed {
	o.Text, o.Note, o.Pending = "", "", nil
	return o
}

// missing are the directories above a path that are not there, the lowest first, after those that are known.
func (l *ownedList) missing(file string, known []string) ([]string, error) {
	var lower []string
	for dir := path.Dir(file); dir != "/" && !strings.HasPrefix(dir+"/", Dir+"/"); dir = path.Dir(dir) {
		_, err := l.files.Stat(dir)
		if err == nil || slices.Contains(known, dir) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		lower = append(lower, dir)
	}
	return append(lower, known...), nil
}

// foundResource is one that was as it shall be, and what was observed of it then.
type foundResource struct {
	resource.Resource
	observed resource.Observed
}

// adopt remembers resources that were found as they shall be.
func (l *ownedList) adopt(found []foundResource) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	added := false
	for _, r := range found {
		if l.find(r.ID()) >= 0 {
			continue
		}
		encoded, err := resource.Encode(r.Resource)
		if err != nil {
			return err
		}
		l.entries = append(l.entries, entry{ID: r.ID(), Resource: encoded, Previous: remembered(r.observed), Found: true})
		added = true
	}
	if !added {
		return nil
	}
	return l.write(ownedFile, l.entries)
}

// keep copies a regular file to where Kept finds it.
func (l *ownedList) keep(file string) error {
	i, err := l.files.Stat(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && i.Type != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := l.content(file)
	if err != nil {
		return err
	}
	if err := l.files.Mkdir(keptDir, resource.Attributes{Mode: 0o700}); err != nil {
		return err
	}
	return l.files.Write(keptPath(resource.DigestOf(content)), private, bytes.NewReader(content))
}

func (l *ownedList) content(file string) ([]byte, error) {
	r, err := l.files.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

func keptPath(digest string) string { return path.Join(keptDir, strings.TrimPrefix(digest, "sha256:")) }

// kept is the content of a file that was replaced.
func (l *ownedList) kept(digest string) (io.ReadCloser, error) { return l.files.Open(keptPath(digest)) }

// entry of a resource; nil if it is not there.
func (l *ownedList) entry(id resource.ID) (*entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return nil, err
	}
	if i := l.find(id); i >= 0 {
		return new(l.entries[i]), nil
	}
	return nil, nil
}

// drop forgets a resource that was taken away. Directories that it leaves go with another resource that has something in them.
func (l *ownedList) drop(id resource.ID, left []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	for i := range l.entries {
		e := &l.entries[i]
		if e.ID == id || len(left) == 0 {
			continue
		}
		r, err := resource.Decode(e.Resource)
		k, ok := r.(resource.Keeper)
		if err != nil || !ok {
			continue
		}
		left = slices.DeleteFunc(left, func(dir string) bool {
			below := slices.ContainsFunc(k.Keeps(), func(p string) bool { return strings.HasPrefix(p, dir+"/") })
			if below && !slices.Contains(e.Directories, dir) {
				e.Directories = append(e.Directories, dir)
			}
			return below
		})
		// The lowest first.
		slices.SortFunc(e.Directories, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	}
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool { return e.ID == id })
	return l.write(ownedFile, l.entries)
}

// unwanted are the resources that are there and not wanted, in the order in which they go: what runs by means of others, then last ones first, but what ran before
// and reads others goes after these.
func (l *ownedList) unwanted(wanted map[resource.ID]bool) ([]resource.ID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return nil, err
	}
	var first, ids []resource.ID
	after := map[resource.ID][]resource.ID{} // what goes once the resource has gone
	for _, e := range slices.Backward(l.entries) {
		if wanted[e.ID] {
			continue
		}
		if r, err := resource.Decode(e.Resource); err == nil {
			if _, ok := r.(resource.Runs); ok {
				first = append(first, e.ID)
				continue
			}
		}
		if last := l.lastTrigger(e, wanted); last != (resource.ID{}) {
			after[last] = append(after[last], e.ID)
			continue
		}
		ids = append(ids, e.ID)
		ids = append(ids, after[e.ID]...)
	}
	return append(first, ids...), nil
}

// lastTrigger is the unwanted resource that goes last of those that a resource reads which ran before; none for others.
func (l *ownedList) lastTrigger(e entry, wanted map[resource.ID]bool) resource.ID {
	r, err := resource.Decode(e.Resource)
	t, ok := r.(resource.Triggered)
	if err != nil || !ok || !t.Ran(e.Previous) {
		return resource.ID{}
	}
	for _, other := range l.entries {
		if other.ID == e.ID {
			break // what came later goes before it anyway
		}
		if !wanted[other.ID] && slices.Contains(t.TriggeredBy(), other.ID) {
			return other.ID
		}
	}
	return resource.ID{}
}

// mark remembers, before a resource changes, which others take effect of it later. If that is cut off in between, it is not forgotten.
func (l *ownedList) mark(changes resource.ID, readers []resource.Resource, boot string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	dirty := false
	for _, r := range readers {
		t, ok := r.(resource.Triggered)
		if !ok || !slices.Contains(t.TriggeredBy(), changes) {
			continue
		}
		i := slices.IndexFunc(l.marks, func(m mark) bool { return m.ID == r.ID() })
		if i < 0 {
			l.marks = append(l.marks, mark{ID: r.ID()})
			i = len(l.marks) - 1
		}
		m := &l.marks[i]
		if m.Boot != boot {
			m.Boot, m.By = boot, nil
			dirty = true
		}
		if !slices.Contains(m.By, changes) {
			m.By = append(m.By, changes)
			dirty = true
		}
	}
	if !dirty {
		return nil
	}
	return l.write(marksFile, l.marks)
}

// resources are all that are there.
func (l *ownedList) resources() ([]resource.Resource, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return nil, err
	}
	var all []resource.Resource
	for _, e := range l.entries {
		r, err := resource.Decode(e.Resource)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// unmark forgets what a resource was applied after.
func (l *ownedList) unmark(id resource.ID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	n := len(l.marks)
	l.marks = slices.DeleteFunc(l.marks, func(m mark) bool { return m.ID == id })
	if len(l.marks) == n {
		return nil
	}
	return l.write(marksFile, l.marks)
}

// pending are resources that changed without this one having been applied after them. What was marked before the machine started last is none: what
// runs was started after it.
func (l *ownedList) pending(r resource.Resource, boot string) ([]resource.ID, error) {
	if _, ok := r.(resource.Triggered); !ok {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return nil, err
	}
	for _, m := range l.marks {
		if m.ID == r.ID() && m.Boot == boot {
			return m.By, nil
		}
	}
	return nil, nil
}

// bootFile holds the kernel's random name of this boot. In containers it is the shared kernel's, so the start of the first process goes with it.
const bootFile = "/proc/sys/kernel/random/boot_id"

// bootID names the time since the machine started last.
func bootID(env *resource.Env) (string, error) {
	l := &ownedList{files: env.Files}
	boot, err := l.content(bootFile)
	if err != nil {
		return "", fmt.Errorf("finding out when the machine started: %w", err)
	}
	id := strings.TrimSpace(string(boot))
	// Field 22 of proc(5)'s stat; the name in field 2 may hold anything but is in parentheses.
	if stat, err := l.content("/proc/1/stat"); err == nil {
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			if fields := strings.Fields(rest); len(fields) > 19 {
				id += "-" + fields[19]
			}
		}
	}
	return id, nil
}

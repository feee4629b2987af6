package run

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/internal/event"
)

// Journal is the record of a run: its events, one JSON line each, in a file that is named after it. It is for people to look back at; no run reads
// another's.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	w    *bufio.Writer
	err  error
}

// NewJournal begins the record of a run in a directory.
func NewJournal(dir, id string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of runs: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, id+".jsonl"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("beginning the record of the run: %w", err)
	}
	return &Journal{file: f, w: bufio.NewWriter(f)}, nil
}

// Record writes an event. What tells how far a resource is stays out of it.
func (j *Journal) Record(v event.Event) {
	if v.Kind == event.ResourceProgress {
		return
	}
	b, err := json.Marshal(v)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		_, err = j.w.Write(append(b, '\n'))
	}
	// A run that is killed leaves what it did; few lines a second are worth a write each.
	j.err = errors.Join(j.err, err)
	if j.err == nil && v.Kind != event.ResourceStarted {
		j.err = j.w.Flush()
	}
}

// Close ends the record, and says whether all of it was written.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.err, j.w.Flush(), j.file.Close())
}

// Runs are the IDs of recorded runs in a directory, newest first.
func Runs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".jsonl"); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// ReadRun reads the record of a run. A last line that was cut off is left out.
func ReadRun(dir, id string) ([]event.Event, error) {
	if id != filepath.Base(id) {
		return nil, fmt.Errorf("%q is not the ID of a run", id)
	}
	f, err := os.Open(filepath.Join(dir, id+".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no run %s; \"kubewright runs\" lists them", id)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readEvents(f)
}

func readEvents(r io.Reader) ([]event.Event, error) {
	var events []event.Event
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		var v event.Event
		if err := json.Unmarshal(line, &v); err != nil {
			return events, fmt.Errorf("line %d of the record cannot be understood: %w", len(events)+1, err)
		}
		events = append(events, v)
	}
}

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

// TestDrawRun has a run drawn in a file for its owner's eyes, or on standard output.
func TestDrawRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	runs, err := runsDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"20260301-120000-aaaaaa", "20260302-120000-bbbbbb"} {
		j, err := run.NewJournal(runs, id)
		if err != nil {
			t.Fatal(err)
		}
		j.Record(event.Event{Time: time.Now(), Kind: event.RunStarted, Message: "apply " + id})
		j.Record(event.Event{Time: time.Now(), Kind: event.RunDone})
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	out, err := said("runs", "show", "--html", "-")
	if err != nil || !strings.HasPrefix(out, "<!doctype html>") || !strings.Contains(out, "apply 20260302-120000-bbbbbb") {
		t.Errorf("on standard output there is %.100q, %v", out, err)
	}
	file := filepath.Join(dir, "run.html")
	out, err = said("runs", "show", "20260301-120000-aaaaaa", "--html", file)
	if want := file + " shows run 20260301-120000-aaaaaa; open it in a browser\n"; err != nil || out != want {
		t.Errorf("it says %q, %v; want %q", out, err, want)
	}
	written, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(written), "apply 20260301-120000-aaaaaa") {
		t.Errorf("in the file there is %.100q, %v", written, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, %v", info.Mode(), err)
	}
	if _, err := said("runs", "show", "--html", "-", "--output", "json"); exitCode(err) != exitUsage {
		t.Errorf("as HTML and JSON: %v", err)
	}
	if _, err := said("runs", "show", "--html", filepath.Join(dir, "none", "run.html")); err == nil || !strings.Contains(err.Error(), "writing the picture of run 20260302-120000-bbbbbb") {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

package run_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at makes an event some seconds after the beginning.
func at(seconds float64, v event.Event) event.Event {
	v.Time = began.Add(time.Duration(seconds * float64(time.Second)))
	return v
}

// life is a run: m1 a and m2 a at once, then m1 b, which fails.
var life = []event.Event{
	at(0, event.Event{Kind: event.RunStarted, Message: "apply prod"}),
	at(1, event.Event{Kind: event.HostConnected, Host: "m1"}),
	at(1, event.Event{Kind: event.HostConnected, Host: "m2"}),
	at(1, event.Event{Kind: event.HostFailed, Host: "m3", Error: "no route to host"}),
	at(2, event.Event{Kind: event.RoundStarted, Total: 4}),
	at(2, event.Event{Kind: event.StepStarted, Host: "m1", Step: "a"}),
	at(2, event.Event{Kind: event.StepStarted, Host: "m2", Step: "a"}),
	at(5, event.Event{Kind: event.ResourceDone, Host: "m1", Step: "a", Resource: "file /a", Elapsed: 3 * time.Second}),
	at(5, event.Event{Kind: event.StepDone, Host: "m1", Step: "a"}),
	at(6, event.Event{Kind: event.ResourceDone, Host: "m2", Step: "a", Resource: "packages x", Elapsed: 4 * time.Second}),
	at(6.5, event.Event{Kind: event.StepDone, Host: "m2", Step: "a"}),
	at(6.5, event.Event{Kind: event.StepStarted, Host: "m1", Step: "b", After: "m2 a"}),
	at(9, event.Event{Kind: event.StepFailed, Host: "m1", Step: "b", Error: "cannot bind"}),
	at(9, event.Event{Kind: event.StepSkipped, Host: "m1", Step: "c"}),
	at(9.5, event.Event{Kind: event.RunDone, Error: "not everything is as it shall be"}),
}

func TestJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	if ids, err := run.Runs(dir); err != nil || ids != nil {
		t.Errorf("before any run there are %q, %v", ids, err)
	}
	j, err := run.NewJournal(dir, "20260301-120000-aaaaaa")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range life {
		j.Record(v)
		j.Record(at(0, event.Event{Kind: event.ResourceProgress, Message: "12 %"}))
	}
	// A run that is killed leaves what it told.
	if got, err := run.ReadRun(dir, "20260301-120000-aaaaaa"); err != nil || !reflect.DeepEqual(got, life) {
		t.Errorf("before its end it is read as %+v, %v", got, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := run.NewJournal(dir, "20260301-120000-aaaaaa"); err == nil {
		t.Error("a record is written over")
	}
	for _, id := range []string{"20260302-120000-bbbbbb", "20251231-235959-cccccc"} {
		if j, err = run.NewJournal(dir, id); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := run.Runs(dir); err != nil || !slices.Equal(ids, []string{"20260302-120000-bbbbbb", "20260301-120000-aaaaaa", "20251231-235959-cccccc"}) {
		t.Errorf("newest first, runs are %q, %v", ids, err)
	}
	info, err := os.Stat(filepath.Join(dir, "20260301-120000-aaaaaa.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a record has the mode %v, %v", info.Mode(), err)
	}
}

func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	line, err := json.Marshal(life[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		events  int
		want    string
	}{
		"cut":   {string(line) + "\n" + string(line[:20]), 1, ""},
		"wrong": {string(line) + "\nx\n", 1, "line 2 of the record cannot be understood"},
		"empty": {"", 0, ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := run.ReadRun(dir, name)
		if len(got) != c.events || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d events, %v", name, len(got), err)
		}
	}
	for _, id := range []string{"none", "../x", "a/b"} {
		if _, err := run.ReadRun(dir, id); err == nil {
			t.Errorf("there is a run %s", id)
		}
	}
}

func TestReport(t *testing.T) {
	r := run.MakeReport(life)
	if r.What != "apply prod" || r.Outcome != "failed" || r.Elapsed != 9500*time.Millisecond || r.Rounds != 1 || r.Hosts != 2 || r.Done != 2 || r.Failed != 1 || r.Skipped != 1 {
		t.Errorf("%+v", r)
	}
	var path []string
	for _, s := range r.Critical {
		path = append(path, strings.TrimSpace(s.Host+" "+s.Step)+" "+s.Begin.String()+" "+s.Elapsed.String())
	}
	// m1 b began when m2 a was done; m1 a was never waited for.
	if want := []string{"connecting, looking and planning 0s 2s", "m2 a 2s 4.5s", "m1 b 6.5s 2.5s", "ending 9s 500ms"}; !slices.Equal(path, want) {
		t.Errorf("the critical path is %q, want %q", path, want)
	}
	if len(r.Slowest) != 2 || r.Slowest[0].Resource != "packages x" || r.Slowest[0].Begin != 2*time.Second || len(r.Critical[1].Resources) != 1 {
		t.Errorf("slowest are %+v, on the path %+v", r.Slowest, r.Critical[1].Resources)
	}
	if len(r.Failures) != 2 || r.Failures[0].Host != "m3" || r.Failures[1].Step != "b" {
		t.Errorf("failures are %+v", r.Failures)
	}
}

// TestReportOfRounds has each of them on the critical path, also where steps of the same name come again.
func TestReportOfRounds(t *testing.T) {
	r := run.MakeReport([]event.Event{
		at(0, event.Event{Kind: event.RunStarted, Message: "apply prod"}),
		at(1, event.Event{Kind: event.RoundStarted, Total: 2}),
		at(1, event.Event{Kind: event.StepStarted, Host: "m1", Step: "a"}),
		at(3, event.Event{Kind: event.StepDone, Host: "m1", Step: "a"}),
		at(3, event.Event{Kind: event.StepStarted, Host: "m1", Step: "b", After: "m1 a"}),
		at(6, event.Event{Kind: event.StepDone, Host: "m1", Step: "b"}),
		at(8, event.Event{Kind: event.RoundStarted, Total: 2}),
		at(8, event.Event{Kind: event.StepStarted, Host: "m2", Step: "c"}),
		at(9, event.Event{Kind: event.StepStarted, Host: "m1", Step: "b", After: "m1 a"}), // which was done before this round
		at(9, event.Event{Kind: event.StepDone, Host: "m2", Step: "c"}),
		at(13, event.Event{Kind: event.StepDone, Host: "m1", Step: "b"}),
		at(13, event.Event{Kind: event.RunDone}),
	})
	var path []string
	for _, s := range r.Critical {
		path = append(path, strings.TrimSpace(s.Host+" "+s.Step)+" "+s.Begin.String()+" "+s.Elapsed.String())
	}
	want := []string{"connecting, looking and planning 0s 1s", "m1 a 1s 2s", "m1 b 3s 3s", "looking and planning again 6s 2s", "m1 b 9s 4s"}
	if !slices.Equal(path, want) || r.Rounds != 2 {
		t.Errorf("the critical path is %q, want %q", path, want)
	}
}

func TestOutcomes(t *testing.T) {
	done, interrupted := event.Event{Kind: event.RunDone}, event.Event{Kind: event.RunInterrupted}
	for want, events := range map[string][]event.Event{
		"unfinished":  life[:3],
		"done":        {life[0], at(1, done)},
		"failed":      life,
		"declined":    {life[0], at(1, event.Event{Kind: event.RunDeclined}), at(2, event.Event{Kind: event.RunDone, Error: "nothing was changed"})},
		"interrupted": {life[0], at(1, interrupted), at(2, event.Event{Kind: event.RunDone, Error: "interrupted"})},
	} {
		if r := run.MakeReport(events); r.Outcome != want {
			t.Errorf("%s, want %s", r.Outcome, want)
		}
	}
	if r := run.MakeReport(nil); r.Outcome != "unfinished" {
		t.Errorf("%+v", r)
	}
}

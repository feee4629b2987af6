package plan_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

var update = flag.Bool("update", false, "write the golden files anew")

const secret = "s3cret-t0ken"

var (
	config = resource.NewFile("/etc/a.conf", "one\ntwo\nthree\n")
	token  = resource.File{Path: "/etc/token", Mode: 0o600, Secret: true, Digest: resource.DigestOf([]byte(secret)), Content: []byte(secret)}
	unit   = resource.Unit{Name: "a.service", Active: true, Enabled: true, RestartOn: []resource.ID{config.ID(), token.ID()}}
	well   = resource.UnitActive{Name: "a.service"}
)

func id(host, name string) plan.StepID { return plan.StepID{Host: host, Name: name} }

// steps of three hosts: what is before, a service, what is after.
func steps() []plan.Step {
	var all []plan.Step
	for _, h := range []string{"m1", "m2", "m3"} {
		all = append(all,
			plan.Step{StepID: id(h, "before"), Resources: []resource.Resource{resource.Sysctl{Name: "a.b", Value: "1"}}},
			plan.Step{StepID: id(h, "service"), Group: "members", Resources: []resource.Resource{config, token, unit}, Ensures: []resource.Probe{well},
				Requires: []plan.Condition{plan.After(id(h, "before"))}},
		)
	}
	return all
}

var members = []plan.Group{{Name: "members", Members: []string{"m1", "m2", "m3"}, AtOnce: 1}}

func present(values ...string) resource.Observed {
	o := resource.Observed{State: resource.Present, Values: map[string]string{}}
	for i := 0; i < len(values); i += 2 {
		o.Values[values[i]] = values[i+1]
	}
	return o
}

// runs is a unit that is as it shall be. Agents say so, as it may be triggered.
func runs() resource.Observed { return present("active", "active", "enabled", "enabled") }

func asItShallBe() plan.Observation {
	return plan.Observation{Resources: map[string]resource.Observed{"unit a.service": runs()}}
}

// bare is a host that has nothing.
func bare() plan.Observation {
	absent := resource.Observed{State: resource.Absent}
	return plan.Observation{
		Resources: map[string]resource.Observed{"sysctl a.b": present("value", "0"), "file /etc/a.conf": absent, "file /etc/token": absent, "unit a.service": absent},
		Unwell:    map[string]string{"unit-active a.service": "systemd knows no unit a.service"},
	}
}

// edited is a host where somebody changed a file.
func edited() resource.Observed {
	o := present("type", "file", "mode", "0600", "owner", "root:root", "digest", resource.DigestOf([]byte("one\n2\nthree\n")))
	o.Text = "one\n2\nthree\n"
	return o
}

type world struct {
	observed map[string]plan.Observation
	missing  map[string]string
	problems []plan.Problem
	replaces resource.ID // by the first step
}

func (w world) plan(t *testing.T) *plan.Plan {
	t.Helper()
	steps := steps
	if w.replaces != (resource.ID{}) {
		list := steps()
		list[0].Replaces = []resource.ID{w.replaces}
		steps = func() []plan.Step { return list }
	}
	p, err := plan.Make(plan.Input{Steps: steps(), Groups: members, Hosts: []string{"m1", "m2", "m3"}, Found: compared(steps(), w.observed), Missing: w.missing, Problems: w.problems})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compared compares the steps of hosts with what was observed there.
func compared(steps []plan.Step, observed map[string]plan.Observation) map[string]plan.Difference {
	var all plan.Comparison
	found := map[string]plan.Difference{}
	for host, o := range observed {
		found[host] = all.Compare(slices.DeleteFunc(slices.Clone(steps), func(s plan.Step) bool { return s.Host != host }), o)
	}
	return found
}

func with(o plan.Observation, name string, seen resource.Observed) plan.Observation {
	o.Resources[name] = seen
	return o
}

// refused is what a person may overrule.
var refused = plan.Problem{Message: "9 of 12 hosts leave", Remedy: "Put them back in", Blocks: true, Loss: "all that is on them is lost"}

// worlds have golden files of their names.
func worlds() map[string]world {
	drifted := with(asItShallBe(), "file /etc/a.conf", edited())
	drifted.Removals = []resource.ID{{Kind: "file", Name: "/etc/old"}, {Kind: "unit", Name: "old.service"}}
	odd := with(asItShallBe(), "file /etc/a.conf", resource.Observed{State: resource.Unknown, Reason: "input/output error"})
	blocked := with(asItShallBe(), "sysctl a.b", resource.Observed{State: resource.Present, Blocked: "it is 0 and cannot be set to 1: mounted read-only"})
	noted := with(asItShallBe(), "sysctl a.b", resource.Observed{State: resource.Absent, Note: "this kernel has no a.b; it is only faster"})
	unwell := asItShallBe()
	unwell.Unwell = map[string]string{"unit-active a.service": "a.service is activating: cannot bind"}
	pending := runs()
	pending.Pending = []resource.ID{config.ID()}
	otherToken := present("type", "file", "mode", "0644", "owner", "root:root", "digest", resource.DigestOf([]byte("old "+secret)))
	return map[string]world{
		"install": {observed: map[string]plan.Observation{"m1": bare(), "m2": bare(), "m3": bare()}},
		"drift":   {observed: map[string]plan.Observation{"m1": asItShallBe(), "m2": drifted, "m3": asItShallBe()}},
		"nothing": {observed: map[string]plan.Observation{"m1": asItShallBe(), "m2": asItShallBe(), "m3": asItShallBe()}},
		"trouble": {observed: map[string]plan.Observation{"m1": odd, "m2": blocked}, missing: map[string]string{"m3": "m3: connecting: no route to host"},
			problems: []plan.Problem{
				{Host: "m1", Message: "its clock is off", Remedy: "Set it", Blocks: true}, {Host: "m2", Message: "its clock is off", Remedy: "Set it", Blocks: true},
				{Message: "m9 is left as it is", Remedy: "Reset it"}, {Host: "m1", Message: "it is a container"},
			}},
		"refused":   {observed: map[string]plan.Observation{"m1": asItShallBe(), "m2": drifted, "m3": asItShallBe()}, problems: []plan.Problem{refused}},
		"overruled": {observed: map[string]plan.Observation{"m1": asItShallBe(), "m2": drifted, "m3": asItShallBe()}, problems: []plan.Problem{refused.Overrule()}},
		"unwell":    {observed: map[string]plan.Observation{"m1": unwell, "m2": noted, "m3": with(asItShallBe(), "unit a.service", pending)}},
		"secret":    {observed: map[string]plan.Observation{"m1": with(asItShallBe(), "file /etc/token", otherToken), "m2": asItShallBe(), "m3": asItShallBe()}},
	}
}

func text(t *testing.T, p *plan.Plan, o plan.TextOptions) string {
	t.Helper()
	var b strings.Builder
	if err := p.Text(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".golden")
			p := w.plan(t)
			got := "== short ==\n" + text(t, p, plan.TextOptions{Lines: 2}) + "== full ==\n" + text(t, p, plan.TextOptions{Notes: true})
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v; go test -update writes it", err)
			}
			if got != string(want) {
				t.Errorf("%s differs; go test -update writes it anew:\n%s", file, strings.Join(resource.DiffLines(string(want), got), "\n"))
			}
			colored := text(t, p, plan.TextOptions{Lines: 2, Color: true})
			for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[1m", "\x1b[0m"} {
				colored = strings.ReplaceAll(colored, code, "")
			}
			if want := text(t, p, plan.TextOptions{Lines: 2}); colored != want {
				t.Errorf("with colours it says something else:\n%s", strings.Join(resource.DiffLines(want, colored), "\n"))
			}
		})
	}
}

// What deserves a second look is said as what it is: not all that is disturbed starts anew.
func TestLookTwice(t *testing.T) {
	s := plan.Step{StepID: id("m1", "drain m3"), Resources: []resource.Resource{resource.Drain{Node: "m3"}}}
	observed := plan.Observation{Resources: map[string]resource.Observed{"drain m3": present("cordoned", "no", "pod default/a", "emptyDir", "pod default/b", "no controller",
		"budget default/web", "needs 2 healthy Pods and has 2")}}
	p, err := plan.Make(plan.Input{Steps: []plan.Step{s}, Hosts: []string{"m1"}, Found: compared([]plan.Step{s}, map[string]plan.Observation{"m1": observed})})
	if err != nil {
		t.Fatal(err)
	}
	want := `
Look twice
  m1: drain m3: Pods: 1 (default/a) → moved to other nodes
  m1: drain m3: Pod default/b: present → lost: it has no controller
  m1: drain m3: data in emptyDir volumes: of default/a → lost
  m1: drain m3: PodDisruptionBudget default/web: lets no Pod go now: it needs 2 healthy Pods and has 2 → waited for, 10m0s at most

m1
  drain m3
    ~ drain m3
        cordoned: no → yes
`
	if got := text(t, p, plan.TextOptions{}); !strings.Contains(got, want) {
		t.Errorf("it says\n%s", got)
	}
}

// What is wrong with something that no step changes is said although there is nothing to do.
func TestLookTwiceAtWhatIsNotOurs(t *testing.T) {
	problem := plan.Problem{Message: "nobody answers at your balancer", Remedy: "See that it runs", Careful: true}
	p, err := plan.Make(plan.Input{Hosts: []string{"m1"}, Problems: []plan.Problem{problem}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "\nLook twice\n  nobody answers at your balancer. See that it runs\n1 host: nothing to do.\n"
	if got := text(t, p, plan.TextOptions{}); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
}

func TestSecretsAreNowhere(t *testing.T) {
	for name, w := range worlds() {
		p := w.plan(t)
		asJSON, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		for form, s := range map[string]string{"text": text(t, p, plan.TextOptions{Notes: true}), "JSON": string(asJSON)} {
			if strings.Contains(s, secret) || strings.Contains(s, resource.DigestOf([]byte(secret))[:20]) {
				t.Errorf("%s as %s shows a secret:\n%s", name, form, s)
			}
		}
	}
}

func TestCounts(t *testing.T) {
	want := map[string]plan.Counts{
		"install":   {Create: 9, Update: 3, Hosts: 3},
		"drift":     {Update: 2, Remove: 2, Disturb: 1, Hosts: 1},
		"refused":   {Update: 2, Remove: 2, Disturb: 1, Hosts: 1},
		"overruled": {Update: 2, Remove: 2, Disturb: 1, Hosts: 1},
		"nothing":   {},
		"trouble":   {Unknown: 1, Blocked: 1},
		"unwell":    {Update: 1, Disturb: 1, Unwell: 1, Hosts: 2},
		"secret":    {Update: 2, Disturb: 1, Hosts: 1},
	}
	for name, w := range worlds() {
		p := w.plan(t)
		if got := p.Counts(); got != want[name] {
			t.Errorf("%s comes to %+v, want %+v", name, got, want[name])
		}
		if p.Empty() != (name == "nothing") {
			t.Errorf("%s is empty: %t", name, p.Empty())
		}
	}
}

// of says what happens to a resource in a plan.
func of(p *plan.Plan, step plan.StepID, r resource.ID) (what []string) {
	for _, s := range p.Steps {
		for _, c := range s.Changes {
			if s.StepID == step && c.Resource == r {
				for _, change := range c.Changes {
					what = append(what, change.String())
				}
			}
		}
	}
	return what
}

func TestTriggers(t *testing.T) {
	pending := runs()
	pending.Pending = []resource.ID{token.ID()}
	both := with(with(asItShallBe(), "file /etc/a.conf", edited()), "unit a.service", pending)
	for _, c := range []struct {
		name     string
		observed plan.Observation
		want     string
	}{
		{"nothing changes", asItShallBe(), ""},
		{"a file changes", with(asItShallBe(), "file /etc/a.conf", edited()), "restart (because /etc/a.conf changes)"},
		{"a file changed before", with(asItShallBe(), "unit a.service", pending), "restart (because /etc/token changed and it was not restarted since)"},
		{"both", both, "restart (because /etc/a.conf changes, and because /etc/token changed and it was not restarted since)"},
		{"what changes cannot", with(asItShallBe(), "file /etc/a.conf", resource.Observed{Blocked: "it is a directory"}), ""},
		{"what changes is unknown", with(asItShallBe(), "file /etc/a.conf", resource.Observed{State: resource.Unknown}), ""},
	} {
		p := world{observed: map[string]plan.Observation{"m1": c.observed}}.plan(t)
		if got := strings.Join(of(p, id("m1", "service"), unit.ID()), "; "); got != c.want {
			t.Errorf("%s: the unit changes by %q, want %q", c.name, got, c.want)
		}
	}
}

// quiet is triggered by a file, which means nothing to it.
type quiet struct{ resource.Unit }

func (quiet) Trigger(resource.Observed, []resource.ID) resource.Change { return resource.Change{} }

func TestTriggerThatMeansNothing(t *testing.T) {
	s := steps()[:2]
	s[1].Resources = []resource.Resource{config, quiet{unit}}
	p, err := plan.Make(plan.Input{Steps: s, Groups: members, Hosts: []string{"m1"},
		Found: compared(s, map[string]plan.Observation{"m1": with(asItShallBe(), "file /etc/a.conf", edited())})})
	if err != nil {
		t.Fatal(err)
	}
	if got := of(p, id("m1", "service"), unit.ID()); got != nil {
		t.Errorf("a trigger that means nothing is planned as %q", got)
	}
}

func TestCleanUpComesLast(t *testing.T) {
	p := worlds()["drift"].plan(t)
	last := p.Graph[len(p.Graph)-1]
	if last.StepID != id("m2", plan.CleanUp) || len(last.Requires) != 2 {
		t.Errorf("what is no longer wanted goes by %s after %v", last.StepID, last.Requires)
	}
	w := worlds()["drift"]
	w.replaces = resource.ID{Kind: "unit", Name: "old.service"}
	p = w.plan(t)
	if last := p.Graph[len(p.Graph)-1]; len(last.Requires) != 3 || last.Requires[2].Of[0].Host != "m1" || last.Requires[2].Name != "nothing needs unit old.service any more" {
		t.Errorf("what m1 needs goes after %v", last.Requires)
	}
	if c := p.Steps[len(p.Steps)-1]; c.Changes[0].Resource.Name != "/etc/old" || c.Changes[1].Resource.Name != "old.service" {
		t.Errorf("it goes in another order than the agent said: %v", c.Changes)
	}
}

func TestDigest(t *testing.T) {
	digest := func(change func(w *world)) string {
		w := worlds()["drift"]
		change(&w)
		return w.plan(t).Digest()
	}
	same := digest(func(*world) {})
	for name, change := range map[string]func(w *world){
		"a problem": func(w *world) { w.problems = []plan.Problem{{Message: "its clock is off"}} },
		"health": func(w *world) {
			o := w.observed["m1"]
			o.Unwell = map[string]string{"unit-active a.service": "no"}
			w.observed["m1"] = o
		},
		"a note": func(w *world) {
			w.observed["m1"] = with(asItShallBe(), "sysctl a.b", resource.Observed{State: resource.Absent, Note: "no"})
		},
	} {
		if got := digest(change); got != same {
			t.Errorf("%s changes the digest of a plan", name)
		}
	}
	for name, change := range map[string]func(w *world){
		"another edit": func(w *world) {
			o := edited()
			o.Text = "1\n2\nthree\n"
			w.observed["m2"] = with(w.observed["m2"], "file /etc/a.conf", o)
		},
		"another host":   func(w *world) { w.observed["m1"] = with(asItShallBe(), "file /etc/a.conf", edited()) },
		"less to remove": func(w *world) { o := w.observed["m2"]; o.Removals = o.Removals[:1]; w.observed["m2"] = o },
	} {
		if got := digest(change); got == same {
			t.Errorf("%s does not change the digest of a plan", name)
		}
	}
}

func TestSave(t *testing.T) {
	for name, w := range worlds() {
		s, err := w.plan(t).Save(plan.Saved{File: "/c.yaml", Content: []byte("x"), Made: time.Unix(0, 0).UTC()})
		if (err != nil) != (name == "trouble" || name == "refused") {
			t.Errorf("saving %s: %v", name, err)
		}
		if err != nil {
			continue
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), secret) {
			t.Errorf("saved, %s shows a secret: %s", name, b)
		}
		got, ok, err := plan.ParseSaved(b)
		if err != nil || !ok || got.Digest != w.plan(t).Digest() || string(got.Content) != "x" || got.Counts != w.plan(t).Counts() {
			t.Errorf("saved, %s is read as %+v, %t, %v", name, got, ok, err)
		}
	}
	for content, want := range map[string]string{
		"kind: Cluster\n": "", `{"kind": "Cluster"}`: "", `{"kind": "SavedPlan", "version": 2}`: "version 2",
	} {
		_, ok, err := plan.ParseSaved([]byte(content))
		if ok != (want != "") || ok && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s is a saved plan: %t, %v", content, ok, err)
		}
	}
}

// Only what stands in the way and says what is lost can be overruled. It stands in the way no more then, and says that it did.
func TestOverrule(t *testing.T) {
	hard := plan.Problem{Host: "m1", Message: "it belongs to another cluster", Remedy: "Leave it", Blocks: true}
	careful := plan.Problem{Host: "m1", Message: "left the cluster file", Careful: true}
	for _, p := range []plan.Problem{hard, careful, {Message: "a note", Remedy: "Read it"}} {
		if got := p.Overrule(); got != p || got.Overruled() {
			t.Errorf("%+v becomes %+v", p, got)
		}
	}
	want := plan.Problem{Message: refused.Message, Careful: true, Loss: refused.Loss}
	if got := refused.Overrule(); got != want || !got.Overruled() || refused.Overruled() || got.Overrule() != got {
		t.Errorf("%+v becomes %+v", refused, got)
	}
	of := func(problems ...plan.Problem) *plan.Plan {
		return world{observed: map[string]plan.Observation{"m1": asItShallBe(), "m2": asItShallBe(), "m3": asItShallBe()}, problems: problems}.plan(t)
	}
	if p := of(careful, refused); !p.Blocked() || len(p.Overruled()) > 0 || p.BlockedHosts()[""] == "" {
		t.Errorf("%+v", p.Problems)
	}
	if p := of(careful, want); p.Blocked() || len(p.Overruled()) != 1 || p.Overruled()[0] != want || len(p.BlockedHosts()) > 0 {
		t.Errorf("%+v", p.Problems)
	}
	if p := of(hard, want); !p.Blocked() {
		t.Error("what cannot be overruled does not stand in the way any more")
	}
}

func TestCheckSeesMistakes(t *testing.T) {
	a, b := id("m1", "a"), id("m1", "b")
	for want, steps := range map[string][]plan.Step{
		"two steps are called m1 a":                    {{StepID: a}, {StepID: a}},
		`names the group "x"`:                          {{StepID: a, Group: "x"}},
		"waits for m1 b, which is none":                {{StepID: a, Requires: []plan.Condition{plan.After(b)}}},
		"m1 has the resource unit a.service twice":     {{StepID: a, Resources: []resource.Resource{unit}}, {StepID: b, Resources: []resource.Resource{unit}}},
		"step m1 a waits for itself, by m1 b, by m1 a": {{StepID: a, Requires: []plan.Condition{plan.After(b)}}, {StepID: b, Requires: []plan.Condition{plan.After(a)}}},
	} {
		if _, err := plan.Make(plan.Input{Steps: steps}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := plan.Check(nil, []plan.Group{{Name: "g"}}); err == nil {
		t.Error("a group of which none may be disturbed is taken")
	}
	if err := plan.Check(steps(), members); err != nil {
		t.Error(err)
	}
}

func TestNeeded(t *testing.T) {
	three := []plan.StepID{id("m1", "a"), id("m2", "a"), id("m3", "a")}
	for _, c := range []struct{ atLeast, want int }{{0, 3}, {1, 1}, {3, 3}, {5, 3}} {
		if got := (plan.Condition{Of: three, AtLeast: c.atLeast}).Needed(); got != c.want {
			t.Errorf("at least %d of three needs %d", c.atLeast, got)
		}
	}
}

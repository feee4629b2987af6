package resource_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestBlockInto(t *testing.T) {
	const begin, end = "# BEGIN kubewright h\n", "# END kubewright h\n"
	for _, c := range []struct{ name, before, want string }{
		{"in its place", "a\r\n" + begin + "old\n" + end + "\n z ", "a\r\n" + begin + "new\n" + end + "\n z "},
		{"one that ends the file", "a\n" + begin + "old\n" + "# END kubewright h", "a\n" + begin + "new\n" + end},
		{"several", "a\n" + begin + end + "b\n" + begin + "old\n" + end + "c\n", "a\n" + begin + "new\n" + end + "b\nc\n"},
		{"one of another name", "# BEGIN kubewright hh\n# END kubewright hh\n", "# BEGIN kubewright hh\n# END kubewright hh\n" + begin + "new\n" + end},
		{"an empty file", "", begin + "new\n" + end},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fake.New("m", nil)
			env := m.Env(nil)
			write("/f", c.before)(t, m, env)
			b := resource.Block{Path: "/f", Name: "h", Text: "new"}
			settled(t, b, env)
			if got, want := look(t, env.Files, "/f"), quoted(c.want); got != want {
				t.Errorf("it is %s, want %s", got, want)
			}
		})
	}
}

func quoted(text string) string { return fmt.Sprintf("0664 u:g %q", text) }

func TestBlockDiffShowsTheFile(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	write("/f", "1\n2\n3\n4\n")(t, m, env)
	b := resource.Block{Path: "/f", Name: "h", Text: "new"}
	o, err := b.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	d := b.Diff(o)
	if want := []string{"@@ line 3 @@", " 3", " 4", "+# BEGIN kubewright h", "+new", "+# END kubewright h"}; len(d) != 1 || !slices.Equal(d[0].Lines, want) {
		t.Errorf("it shows %+v", d)
	}
}

func TestBlockFollowsALink(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	write("/run/f", "a\n")(t, m, env)
	if err := env.Files.Link("../run/f", "/etc/f"); err != nil {
		t.Fatal(err)
	}
	before := m.State()
	b := resource.Block{Path: "/etc/f", Name: "h"}
	o, err := b.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	settled(t, b, env)
	if got := look(t, env.Files, "/etc/f"); got != "link to ../run/f" {
		t.Errorf("it became %s", got)
	}
	if err := b.Undo(t.Context(), env, o); err != nil {
		t.Fatal(err)
	}
	if d := (scenario{}).differences(before, m.State()); len(d) > 0 {
		t.Errorf("it is not as it was: %q", d)
	}
	if err := env.Files.Link("f", "/etc/f"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Observe(t.Context(), env); err == nil {
		t.Error("a circle of links is taken for a file")
	}
}

func TestBlockLeavesWhatOthersWrote(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	b := resource.Block{Path: "/f", Name: "h", Text: "x"}
	o, err := b.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	settled(t, b, env)
	write("/f", "mine\n# BEGIN kubewright h\nx\n# END kubewright h\n")(t, m, env)
	if err := b.Undo(t.Context(), env, o); err != nil {
		t.Fatal(err)
	}
	if got, want := look(t, env.Files, "/f"), quoted("mine\n"); got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

func TestBlockComesOnceSomethingAnswers(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	env := fake.New("m", nil).Env(nil)
	b := resource.Block{Path: "/f", Name: "h", Text: "x", Once: &resource.HTTPAnswers{Name: "the API", URL: s.URL}}
	if err := b.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if got := look(t, env.Files, "/f"); !strings.Contains(got, "kubewright h\\nx\\n") || asked != 3 {
		t.Errorf("asked %d times, it is %s", asked, got)
	}
	settled(t, b, env)

	s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	env.Progress = func(said string) {
		if !strings.Contains(said, "the API: ") {
			t.Errorf("it says %q", said)
		}
		cancel()
	}
	b.Text = "y"
	if err := b.Apply(ctx, env); !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	if got := look(t, env.Files, "/f"); strings.Contains(got, "y") {
		t.Errorf("hosts are led where nothing answers: %s", got)
	}
}

package resource_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		out  resource.Output
		why  string
	}{
		{"well", resource.Output{Stdout: "fine"}, ""},
		{"errors first", resource.Output{Code: 1, Stdout: "out", Stderr: "first\nlast \n"}, "it: last"},
		{"only output", resource.Output{Code: 1, Stdout: "first\nout\n"}, "it: out"},
		{"silent", resource.Output{Code: 1}, "it: it said nothing"},
	} {
		m := fake.New("m", nil)
		m.SetProgram("ask", func(_ context.Context, cmd resource.Command) (resource.Output, error) {
			if strings.Join(cmd.Args, " ") != "a b" {
				t.Errorf("%s: it was asked with %q", c.name, cmd.Args)
			}
			return c.out, nil
		})
		why, err := resource.Answers{Name: "it", Command: []string{"ask", "a", "b"}}.Check(t.Context(), m.Env(nil))
		if err != nil || why != c.why {
			t.Errorf("%s: %q, %v", c.name, why, err)
		}
	}
	if why, err := (resource.Answers{Name: "it", Command: []string{"ask"}}).Check(t.Context(), fake.New("m", nil).Env(nil)); err == nil {
		t.Errorf("of a program that is not there it says %q", why)
	}
}

func TestAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fake.New("m", nil)
		m.SetProgram("ask", func(ctx context.Context, _ resource.Command) (resource.Output, error) {
			<-ctx.Done()
			return resource.Output{}, ctx.Err()
		})
		p := resource.Answers{Name: "it", Command: []string{"ask"}}
		if why, err := p.Check(t.Context(), m.Env(nil)); err != nil || why != "it does not answer within 5s" {
			t.Errorf("it says %q, %v", why, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Check(ended, m.Env(nil)); err == nil {
			t.Error("a check that was called off says that all is well")
		}
	})
}

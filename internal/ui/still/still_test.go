package still

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestPlay(t *testing.T) {
	// As apply draws: lines that stay, then rows over rows.
	frame := func(rows string, up string) string {
		return "\x1b[?2026h\x1b[?25l\r \x1b[J\r" + "\x1b[?7l" + rows + "\x1b[?7h" + up + "\r\x1b7\x1b[?25h\x1b[?2026l"
	}
	run := "a line that stays\r\n" + frame("first\r\nw1 a", "\x1b[1A") + frame("second\r\nw1 too long to fit\x1b[K", "\x1b[1A") + frame("", "") + "Done.\r\n"
	for _, c := range []struct {
		name, written string
		shown         Shown
		want          []string
	}{
		{"nothing", "", Shown{}, nil},
		{"lines", "a\r\n\r\nb\r\n\r\n", Shown{Width: 10, Height: 9}, []string{"a", "", "b"}},
		{"scrolled", "a\r\nb\r\nc", Shown{Width: 10, Height: 2}, []string{"a", "b", "c"}},
		{"broken", "abcdef", Shown{Width: 4, Height: 2}, []string{"abcd", "ef"}},
		{"tab", "a\tb", Shown{Width: 20, Height: 2}, []string{"a       b"}},
		{"wide", "映x", Shown{Width: 20, Height: 2}, []string{"映x"}},
		{"combining", "e\u0301x", Shown{Width: 20, Height: 2}, []string{"e\u0301x"}},
		{"over", "abc\rx\b\x1b[2Cy", Shown{Width: 20, Height: 2}, []string{"xby"}},
		{"cleared", "abc\r\ndef\x1b[1;2H\x1b[J", Shown{Width: 20, Height: 2}, []string{"a"}},
		{"a title", "\x1b]0;x\x07a\x1b]0;y\x1b\\b", Shown{Width: 20, Height: 2}, []string{"ab"}},
		{"cut off", "a\x1b[3", Shown{Width: 20, Height: 2}, []string{"a"}},
		{"not UTF-8", "a\xffb\x00", Shown{Width: 20, Height: 2}, []string{"a\ufffdb"}},
		{"a run in the end", run, Shown{Width: 10, Height: 4}, []string{"a line tha", "t stays", "Done."}},
		{"a run at first", run, Shown{Width: 10, Height: 4, Frame: 0.01}, []string{"a line tha", "t stays", "first", "w1 a"}},
		{"a run in the middle", run, Shown{Width: 10, Height: 4, Frame: 0.5}, []string{"a line tha", "t stays", "second", "w1 too lot"}},
		{"a run's screen in the end", run, Shown{Width: 10, Height: 4, Frame: 1}, []string{"a line tha", "t stays"}},
	} {
		var got []string
		for _, row := range play([]byte(c.written), c.shown) {
			var s strings.Builder
			for _, c := range row {
				s.WriteString(c.text)
			}
			got = append(got, s.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: it shows %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLooks(t *testing.T) {
	rows := play([]byte("a\x1b[1mb\x1b[31mc\x1b[0md\x1b[92me\x1b[38;5;9mf\x1b[38;2;1;2;3mg\x1b[39;2mh\x1b[22mi\x1b[mj"), Shown{Width: 20, Height: 2})
	want := []cell{{"a", style{}}, {"b", style{bold: true}}, {"c", style{color: "red", bold: true}}, {"d", style{}}, {"e", style{color: "green"}}, {"f", style{color: "green"}},
		{"g", style{color: "green"}}, {"h", style{faint: true}}, {"i", style{}}, {"j", style{}}}
	if len(rows) != 1 || !slices.Equal(rows[0], want) {
		t.Errorf("it shows %+v, want %+v", rows, want)
	}
}

// plan is what a terminal was given, as plans are written.
const planned = "\x1b[1m\nIn short\x1b[0m\r\n  service  m2  1 to change\r\n\r\n\x1b[1mm2\x1b[0m\r\n  control plane\r\n\x1b[33m    ~ file /etc/kubernetes/manifests/kube-scheduler.yaml\x1b[0m\r\n" +
	"\x1b[33m        content\x1b[0m\r\n        @@ line 14 @@\r\n             - --leader-elect=true\r\n\x1b[31m        -    - --v=2\x1b[0m\r\n\x1b[32m        +    - --v=4 <\"&'>\x1b[0m\r\n" +
	"             image: 映像 → x\r\n\x1b[1m\nPlan: 0 to create, 1 to change, 0 to remove, on 1 host.\x1b[0m\x1b[33m 1 step disturbs something that works, for a moment.\x1b[0m\r\n"

func TestDraw(t *testing.T) {
	for name, s := range map[string]Shown{
		"plan": {Title: `kubewright plan "prod.yaml"`, Width: 80, Height: 24},
		"cut":  {Title: "kubewright plan", Width: 80, Height: 24, Lines: 6},
	} {
		got := Draw([]byte(planned), s)
		file := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; go test -update writes it", err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; go test -update writes it anew", file)
		}
		for d := xml.NewDecoder(bytes.NewReader(got)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s is not XML: %v", name, err)
			}
		}
	}
}

// Whatever is written, it is drawn, within the terminal.
func FuzzDraw(f *testing.F) {
	f.Add(planned, 80, 24, 0.0)
	f.Add("\x1b[9999999;99H\x1b[1A\x1b[2J\x1b[1Kab\x1b[48;2m\x1b]", 1, 1, 1.0)
	f.Add("映映\x1b[?7l映\t\b\b\u0301", 3, 2, 0.5)
	f.Fuzz(func(t *testing.T, written string, width, height int, frame float64) {
		if width < 1 || width > 300 || height < 1 || height > 100 || !(frame >= 0 && frame <= 1) {
			return
		}
		s := Shown{Width: width, Height: height, Frame: frame}
		for _, row := range play([]byte(written), s) {
			if len(row) > max(width, 2) {
				t.Errorf("a row has %d columns of %d", len(row), width)
			}
		}
		if got := Draw([]byte(written), s); !bytes.HasSuffix(got, []byte("</svg>\n")) {
			t.Errorf("it ends in %q", got[max(0, len(got)-20):])
		}
	})
}

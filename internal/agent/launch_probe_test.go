package agent

import (
	"slices"
	"strings"
	"testing"
)

func TestFacts(t *testing.T) {
	digest := strings.Repeat("d", 64)
	file := Home + "/" + digest
	inPlace := []string{
		"uid 1000", "system Linux x86_64", "sudo", "gzip", "stat " + Dir + " 0 41ed 4096", "stat " + Home + " 0 41ed 4096", "stat " + file + " 0 81ed 100", "runs", "end",
	}
	f, err := parseFacts(inPlace, digest, 100)
	if err != nil || !f.inPlace || f.uid != 1000 || !f.sudo || !f.gzip || f.system != "Linux x86_64" {
		t.Fatalf("%+v, %v", f, err)
	}
	inPlace = slices.Delete(inPlace, 1, 2) // that it is in place says what system it is
	if f, err = parseFacts(inPlace, digest, 100); err != nil || !f.inPlace {
		t.Fatalf("%+v, %v", f, err)
	}
	for i, changed := range map[int][]string{
		3: {"", "stat " + Dir + " 1000 41ed 4096", "stat " + Dir + " 0 43ff 4096", "stat " + Dir + " 0 a1ff 4096", "stat " + Dir},
		4: {"", "stat " + Home + " 1000 41ed 4096", "stat " + Home + " 0 41fd 4096"},
		5: {"", "stat " + file + " 1000 81ed 100", "stat " + file + " 0 81fd 100", "stat " + file + " 0 81ed 99", "stat " + file + " 0 a1ed 100", "stat " + file + " 0 x 100"},
		6: {""},
	} {
		for _, line := range changed {
			said := append([]string{}, inPlace...)
			said[i] = line
			if f, err := parseFacts(said, digest, 100); f.inPlace {
				t.Errorf("with %q what is in place is trusted: %v", line, err)
			}
		}
	}
	f, err = parseFacts([]string{"uid 0", "system Linux aarch64", "dir readonly /var/tmp", "dir full /tmp 300", "dir noexec /root", "dir ok /with'quote", "dir ok /run"}, digest, 100)
	if err != nil || f.inPlace || f.dir != "/run" || len(f.refused) < 3 || f.refused[1] != (refusedDir{"/tmp", "full", 300 * 1024}) {
		t.Errorf("%+v, %v", f, err)
	}
	for _, said := range [][]string{nil, {"uid 0"}, {"uid x", "system Linux x86_64"}, {"system Linux x86_64"}, {"uid 0", "system Linux x86_64", "dir full /tmp x"}} {
		if f, err := parseFacts(said, digest, 100); err == nil {
			t.Errorf("%q is understood: %+v", said, f)
		}
	}
}

func TestPlatforms(t *testing.T) {
	for uname, want := range map[string]string{"Linux x86_64": "linux/amd64", "Linux aarch64": "linux/arm64", "Darwin arm64": "darwin/arm64", "Linux armv7l": "linux/armv7l", "": "/"} {
		if got := platformOf(uname); got != want {
			t.Errorf("%s is %s, want %s", uname, got, want)
		}
	}
}

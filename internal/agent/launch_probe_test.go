package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFacts(t *testing.T) {
	f, err := parseFacts([]string{"uid 1000", "sudo", "runs"})
	if err != nil || !f.runs || f.uid != 1000 || !f.sudo { // that it was started says what system it is
		t.Fatalf("%+v, %v", f, err)
	}
	f, err = parseFacts([]string{"uid 0", "gzip", "system Linux aarch64", "dir readonly /var/tmp", "dir full /tmp 300", "dir noexec /root", "dir ok /with'quote", "dir ok /run"})
	if err != nil || f.runs || !f.gzip || f.system != "Linux aarch64" || f.dir != "/run" || len(f.refused) < 3 || f.refused[1] != (refusedDir{"/tmp", "full", 300 * 1024}) {
		t.Errorf("%+v, %v", f, err)
	}
	for _, said := range [][]string{nil, {"uid 0"}, {"uid x", "system Linux x86_64"}, {"system Linux x86_64"}, {"uid 0", "system Linux x86_64", "dir full /tmp x"}} {
		if f, err := parseFacts(said); err == nil {
			t.Errorf("%q is understood: %+v", said, f)
		}
	}
}

// What is in place is started at once, if it can be trusted; otherwise it is uploaded.
func TestLaunchInPlace(t *testing.T) {
	type place struct{ dir, home, file string } // owner, mode and size of each, as stat prints them
	const size = "SIZE"
	good := place{"0 41ed 4096", "0 41ed 76", "0 81ed " + size}
	for name, each := range map[string]struct {
		place   place
		uid     int
		sudo    string
		program string // in place; agentEchoes if empty
		link    bool   // what is in place is a link to it
		uploads bool
	}{
		"root":                 {place: good},
		"sudo":                 {place: good, uid: 1000, sudo: sudoFree},
		"sudo with a password": {place: good, uid: 1000, sudo: sudoWants},
		"private":              {place: place{"0 41c0 0", "0 41e8 4096", "0 81c0 " + size}},
		"set-group-ID":         {place: place{"0 45ed 4096", "0 45ed 4096", "0 81ed " + size}},
		"does not start":       {place: good, program: "exit 126", uploads: true},
		"does not start, sudo": {place: good, uid: 1000, sudo: sudoFree, program: "exit 126", uploads: true},
		"nothing is known":     {uploads: true},
		"somebody's dir":       {place: place{"1000 41ed 4096", good.home, good.file}, uploads: true},
		"anybody's dir":        {place: place{"0 43ff 4096", good.home, good.file}, uploads: true},
		"not a dir":            {place: place{"0 a1ff 4096", good.home, good.file}, uploads: true},
		"somebody's home":      {place: place{good.dir, "1000 41ed 4096", good.file}, uploads: true},
		"a group's home":       {place: place{good.dir, "0 41fd 4096", good.file}, uploads: true},
		"somebody's file":      {place: place{good.dir, good.home, "1000 81ed " + size}, uploads: true},
		"a group's file":       {place: place{good.dir, good.home, "0 81fd " + size}, uploads: true},
		"others' file":         {place: place{good.dir, good.home, "0 81ef " + size}, uploads: true},
		"cut":                  {place: place{good.dir, good.home, "0 81ed 99"}, uploads: true},
		"a link":               {place: good, link: true, uploads: true},
		"not a file":           {place: place{good.dir, good.home, "0 41ed " + size}, uploads: true},
		"odd":                  {place: place{good.dir, good.home, "0 x " + size}, uploads: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.script("id", ">asked; echo 1000")
			self := filepath.Join(h.dir, "self")
			if err := os.WriteFile(self, fmt.Appendf(nil, "Name:\tsh\nUid:\t1000\t%d\t0\t0\nGid:\t5\t5\t5\t5\n", each.uid), 0o644); err != nil {
				t.Fatal(err)
			}
			if each.sudo != "" {
				h.script("sudo", each.sudo)
			}
			b := h.program(">uploaded; " + agentEchoes)
			home := filepath.Join(h.dir, "lib/home")
			if err := os.MkdirAll(home, 0o755); err != nil {
				t.Fatal(err)
			}
			program := each.program
			if program == "" {
				program = agentEchoes
			}
			h.script("lib/home/"+b.Digest, program)
			if each.link {
				if err := errors.Join(os.Rename(filepath.Join(home, b.Digest), filepath.Join(h.dir, "real")), os.Symlink("../../real", filepath.Join(home, b.Digest))); err != nil {
					t.Fatal(err)
				}
			}
			// -L -c FORMAT DIR HOME FILE, and of file systems, -f -c FORMAT DIR
			if err := os.Remove(filepath.Join(h.dir, "stat")); err != nil {
				t.Fatal(err)
			}
			h.script("stat", fmt.Sprintf(`case "$1" in -L) echo >>looked; printf "%%s\n%%s\n%%s\n" "%s" "%s" "%s" ;; *) echo 1000000 \* 4096 / 1024 ;; esac`,
				each.place.dir, each.place.home, strings.ReplaceAll(each.place.file, size, fmt.Sprint(b.Size))))
			if !each.uploads { // then it is started with no other program's help
				for _, tool := range []string{"uname", "mkdir", "rm", "grep", "chmod", "head", "wc"} {
					if err := os.Remove(filepath.Join(h.dir, tool)); err != nil {
						t.Fatal(err)
					}
				}
			}
			h.echoes(Launch(t.Context(), h.c, LaunchOptions{
				Host: "h", Binary: b, Patience: 2 * time.Second, SudoPassword: h.secret, home: home, self: self,
			}))
			if _, err := os.Stat(filepath.Join(h.dir, "asked")); err == nil {
				t.Error("who is logged in was asked of a program")
			}
			if looked, err := os.ReadFile(filepath.Join(h.dir, "looked")); !each.uploads && string(looked) != "\n" {
				t.Errorf("it was looked %d times, %v; want once", len(looked), err)
			}
			if _, err := os.Stat(filepath.Join(h.dir, "uploaded")); (err == nil) != each.uploads {
				t.Errorf("it was uploaded: %v, want %v", err == nil, each.uploads)
			}
		})
	}
}

func TestPlatforms(t *testing.T) {
	for uname, want := range map[string]string{"Linux x86_64": "linux/amd64", "Linux aarch64": "linux/arm64", "Darwin arm64": "darwin/arm64", "Linux armv7l": "linux/armv7l", "": "/"} {
		if got := platformOf(uname); got != want {
			t.Errorf("%s is %s, want %s", uname, got, want)
		}
	}
}

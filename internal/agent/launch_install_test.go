package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInstall(t *testing.T) {
	root := t.TempDir()
	home := filepath.Join(root, "lib", "agent")
	content := []byte("the program")
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	upload := func() string {
		t.Helper()
		dir := filepath.Join(root, scratch+"1-x")
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "kubewright"), content, 0o700)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "kubewright")
	}
	check := func(what string) {
		t.Helper()
		entries, err := os.ReadDir(home)
		if err != nil || len(entries) != 1 || entries[0].Name() != digest {
			t.Errorf("%s: there is %v, %v", what, entries, err)
			return
		}
		info, err := entries[0].Info()
		if err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: %v, %v", what, info, err)
		}
		if b, err := os.ReadFile(filepath.Join(home, digest)); err != nil || string(b) != string(content) {
			t.Errorf("%s: it is %q, %v", what, b, err)
		}
		if _, err := os.Stat(filepath.Join(root, scratch+"1-x")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: what was uploaded is left: %v", what, err)
		}
	}
	program := upload()
	if err := install(t.Context(), program, program, home); err != nil {
		t.Fatal(err)
	}
	check("the first")
	for _, other := range []string{"0000", unfinished + "1"} {
		if err := os.WriteFile(filepath.Join(home, other), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := install(t.Context(), filepath.Join(home, digest), filepath.Join(home, digest), home); err != nil {
		t.Fatal(err)
	}
	check("in place")
	if err := os.WriteFile(filepath.Join(home, digest), []byte("broken"), 0o755); err != nil {
		t.Fatal(err)
	}
	program = upload()
	if err := install(t.Context(), program, program, home); err != nil {
		t.Fatal(err)
	}
	check("over a broken one")

	// Somebody else installs: nothing is done.
	dir, err := os.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	program = upload()
	if err := install(t.Context(), program, program, home); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Errorf("while somebody else installs: %v", err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	// An end in the middle leaves what was there.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := install(ended, program, program, home); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(program)); err != nil {
		t.Fatal(err)
	}
	check("after the end")
}

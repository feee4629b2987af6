package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAwaited(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subnet.env")
	n, err := readNetwork([]byte(`{"name": "n", "subnetFile": "` + file + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.awaited(t.Context(), 300*time.Millisecond); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without flanneld it says %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.awaited(ctx, time.Hour); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("when it is to end, it says %v", err)
	}
	written := make(chan error, 1)
	go func() {
		time.Sleep(200 * time.Millisecond)
		err := os.WriteFile(file+".new", []byte(ipv4), 0o644)
		written <- errors.Join(err, os.Rename(file+".new", file))
	}()
	d, err := n.awaited(t.Context(), time.Minute)
	if err != nil || d.plugin != "bridge" {
		t.Errorf("when flanneld is there it says %v, %v", d, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("FLANNEL_MTU=many\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := n.awaited(t.Context(), time.Hour); err == nil {
		t.Error("what flanneld would never write is waited for")
	}
}

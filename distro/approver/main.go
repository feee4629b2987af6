// Approver approves the requests of kubelets for serving certificates, which nobody else in a cluster does: certificates rotate when nobody
// runs Kubewright. Kubewright leaves the inventory of the cluster in a ConfigMap; what fits it is approved, everything else is left as
// it is, so that a person may look. It denies nothing. Several may run at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// version is set by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	flags := flag.NewFlagSet("kubewright-approver", flag.ExitOnError)
	health := flags.String("health-address", "127.0.0.1:10261", "address and port for /healthz (it runs) and /readyz (it knows requests and inventory)")
	says := flags.Bool("version", false, "say the version and exit")
	_ = flags.Parse(os.Args[1:]) // which exits
	if *says {
		fmt.Println("kubewright-approver", version)
		return
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	klog.SetSlogLogger(log)
	if err := run(ctx, log, *health); err != nil {
		log.Error("cannot run", "error", err.Error())
		os.Exit(1)
	}
}

// run approves and says how it is until ctx ends.
func run(ctx context.Context, log *slog.Logger, health string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("finding the API server (this runs as a Pod): %w", err)
	}
	a, err := newApprover(config, log)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", health)
	if err != nil {
		return fmt.Errorf("listening for health checks (--health-address says where): %w", err)
	}
	log.Info("running", "version", version, "server", config.Host, "health", listener.Addr().String())
	server := &http.Server{Handler: healthHandler(a.synced), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { a.run(ctx) })
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	cancel()
	wg.Wait()
	end, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	log.Info("stopping")
	return errors.Join(err, server.Shutdown(end))
}

// healthHandler answers health checks.
func healthHandler(synced func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !synced() {
			http.Error(w, "requests and inventory are not read yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

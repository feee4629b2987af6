package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/internal/bundle"
)

// Options of a build.
type Options struct {
	Distro         string         // the directory distro
	Kubernetes     string         // version; the newest if empty
	Platform       string         // "linux/amd64"
	UpdatePackages bool           // ask the distribution for its packages again
	Progress       func(Progress) // told what happens; may be nil
}

// Progress is what a build is at.
type Progress struct {
	Component string        // what is being built
	Step      string        // what is done for it right now
	Number    int           // it is the Number-th …
	Total     int           // … of Total
	Elapsed   time.Duration // for this component
	Done      bool          // it is finished
	Unchanged bool          // it was there already
}

// Result is a finished build.
type Result struct {
	Bundle *bundle.Bundle `json:"bundle"`
	Built  []Built        `json:"built"` // each component and distribution, in order
}

// Built says how long something took.
type Built struct {
	Name      string        `json:"name"`
	Elapsed   time.Duration `json:"elapsedNanoseconds"`
	Unchanged bool          `json:"unchanged"`
}

// builder is one run of Build.
type builder struct {
	store  *bundle.Store
	distro string
	tools  toolchain
	say    func(Progress)
	total  int
	built  []Built
}

// Build makes the bundle for a version of Kubernetes. What was built before and has not changed is not built again. An interrupted build
// leaves what it finished, and the next goes on from there.
func Build(ctx context.Context, store *bundle.Store, o Options) (*Result, error) {
	w, err := load(o)
	if err != nil {
		return nil, err
	}
	b := &builder{store: store, distro: w.distro, say: o.Progress, total: len(w.components) + len(w.distributions)}
	if b.say == nil {
		b.say = func(Progress) {}
	}
	made, err := b.run(ctx, w, o.UpdatePackages)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted (%w): what is finished stays, and the next build goes on from there", ctx.Err())
	}
	if err != nil {
		return nil, b.explainRoom(err)
	}
	return &Result{Bundle: made, Built: b.built}, nil
}

// wanted is all that is declared of a bundle.
type wanted struct {
	distro        string
	release       Release
	platform      v1.Platform
	components    []Component
	distributions []*Distribution
}

// load reads what is declared of a bundle, and makes sure that it fits together.
func load(o Options) (*wanted, error) {
	distro, err := filepath.Abs(o.Distro)
	if err != nil {
		return nil, err
	}
	releases, err := Releases(distro)
	if err != nil {
		return nil, err
	}
	w := &wanted{distro: distro}
	if w.release, err = choose(releases, o.Kubernetes, o.Platform); err != nil {
		return nil, err
	}
	platform, err := v1.ParsePlatform(o.Platform)
	if err != nil {
		return nil, InvalidError{err}
	}
	w.platform = *platform
	layers := map[string]bool{}
	for _, name := range w.release.Distributions {
		d, err := readDistribution(distro, name)
		if err != nil {
			return nil, err
		}
		for l := range d.Layers {
			layers[l] = true
		}
		w.distributions = append(w.distributions, d)
	}
	for _, name := range slices.Sorted(maps.Keys(w.release.Components)) {
		c, err := readComponent(distro, name, w.release)
		if err != nil {
			return nil, err
		}
		if err := c.checkLayers(layers); err != nil {
			return nil, err
		}
		w.components = append(w.components, c)
	}
	return w, nil
}

func (b *builder) run(ctx context.Context, w *wanted, update bool) (*bundle.Bundle, error) {
	var err error
	if b.tools, err = newToolchain(ctx, w.platform.String(), b.distro); err != nil {
		return nil, err
	}
	release, err := b.store.Add(ctx)
	if err != nil {
		return nil, err
	}
	defer release()

	if err := b.checkRequirements(ctx, w, update); err != nil {
		return nil, err
	}
	layers := map[string]osLayer{}
	var parts []v1.Descriptor
	for _, d := range w.distributions {
		got, err := b.collect(ctx, d, update)
		if err != nil {
			return nil, fmt.Errorf("packages of %s: %w", d.name, err)
		}
		maps.Copy(layers, got.Layers)
		part, err := packages(b.store, d, w.platform, got)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	for _, c := range w.components {
		built, err := b.component(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		part, err := programs(b.store, c, w.platform, built)
		if err != nil {
			return nil, err
		}
		if part != nil {
			parts = append(parts, *part)
		}
		for _, i := range c.Images {
			part, err := image(b.store, c, i, w.platform, built, layers)
			if err != nil {
				return nil, err
			}
			parts = append(parts, part)
		}
	}
	digest, size, err := putIndex(b.store, w.release, w.platform.String(), b.tools.version, parts)
	if err != nil {
		return nil, err
	}
	made, err := b.store.Publish(ctx, v1.Descriptor{Digest: digest, Size: size})
	if err != nil {
		return nil, err
	}
	return made[0], nil
}

// checkRequirements makes sure that what is going to be built can be.
func (b *builder) checkRequirements(ctx context.Context, w *wanted, update bool) error {
	var missing []Component
	var tools []tool
	for _, c := range w.components {
		key, err := c.key(b.tools)
		if err != nil {
			return err
		}
		if there, err := recall(b.store, c.name, key, &record{}); err != nil {
			return err
		} else if !there {
			missing = append(missing, c)
		}
	}
	for _, d := range w.distributions {
		key, err := d.key(b.tools)
		if err != nil {
			return err
		}
		if there, err := recall(b.store, d.name, key, &collection{}); err != nil {
			return err
		} else if !there || update {
			tools = append(tools, d.collector().tools()...)
		}
	}
	if len(missing)+len(tools) == 0 {
		return nil
	}
	dir, err := b.store.TempDir()
	if err != nil {
		return err
	}
	return errors.Join(checkRequirements(ctx, missing, tools, dir), os.RemoveAll(dir))
}

// once does what makes something unless it is noted, and notes it. Of several that want the same at once, one makes it and the others wait.
func (b *builder) once(ctx context.Context, name, key string, again bool, n note, do func(dir string, say func(string)) error) error {
	p := Progress{Component: name, Number: len(b.built) + 1, Total: b.total}
	start := time.Now()
	done := func(unchanged bool) {
		p.Step, p.Elapsed, p.Done, p.Unchanged = "", time.Since(start), true, unchanged
		b.built = append(b.built, Built{name, p.Elapsed, unchanged})
		b.say(p)
	}
	say := func(step string) {
		p.Step, p.Elapsed = step, time.Since(start)
		b.say(p)
	}
	if there, err := recall(b.store, name, key, n); err != nil {
		return err
	} else if there && !again {
		done(true)
		return nil
	}
	lock := flock.New(filepath.Join(b.store.Builds(), name+".lock"))
	held, err := lock.TryLock()
	if err == nil && !held {
		say("waiting for another command that builds it")
		held, err = lock.TryLockContext(ctx, 100*time.Millisecond)
		if info, err := os.Stat(filepath.Join(b.store.Builds(), noteName(name, key))); err == nil && info.ModTime().After(start) {
			again = false // that one has just made it
		}
	}
	if err != nil || !held {
		return fmt.Errorf("locking: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if there, err := recall(b.store, name, key, n); err != nil {
		return err
	} else if there && !again {
		done(true)
		return nil
	}
	dir, err := b.store.TempDir()
	if err != nil {
		return err
	}
	if err := errors.Join(do(dir, say), os.RemoveAll(dir)); err != nil {
		return err
	}
	if err := remember(b.store, name, key, n); err != nil {
		return err
	}
	done(false)
	return nil
}

func (b *builder) component(ctx context.Context, c Component) (record, error) {
	key, err := c.key(b.tools)
	if err != nil {
		return record{}, err
	}
	var r record
	err = b.once(ctx, c.name, key, false, &r, func(dir string, say func(string)) error {
		sum, err := c.sourceSum()
		if err != nil {
			return err
		}
		tools := b.tools
		tools.temp = filepath.Join(dir, "tmp") // which the go command leaves full when it is interrupted
		if err := os.Mkdir(tools.temp, 0o755); err != nil {
			return err
		}
		built, err := tools.compile(ctx, c, dir, say)
		if err != nil {
			return err
		}
		say("running its programs")
		if err := tools.checkVersions(ctx, c, built, dir); err != nil {
			return err
		}
		say("storing it")
		r = record{Source: c.Module + " " + c.pin.version, Sum: sum, Toolchain: b.tools.version, Programs: map[string]programRecord{}}
		for _, prog := range c.Programs {
			l, err := programLayer(b.store, prog, built[prog.Name])
			if err != nil {
				return err
			}
			r.Programs[prog.Name] = programRecord{Layer: l, Path: prog.Path}
		}
		return nil
	})
	return r, err
}

func (b *builder) collect(ctx context.Context, d *Distribution, again bool) (collection, error) {
	key, err := d.key(b.tools)
	if err != nil {
		return collection{}, err
	}
	var got collection
	err = b.once(ctx, d.name, key, again, &got, func(dir string, say func(string)) error {
		got, err = d.collector().collect(ctx, b.store, b.tools, dir, say)
		return err
	})
	return got, err
}

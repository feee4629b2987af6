package build

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// compileFlags are common to all components, so that what they share is compiled once. The compiler makes no debugging information, which
// upstream's releases are stripped of, too: that halves the time.
var compileFlags = []string{"-trimpath", "-buildvcs=false", "-mod=readonly", "-gcflags=all=-dwarf=false"}

const linkFlags = "-s -w -buildid="

// toolchain runs the go command and a C compiler in a closed environment: what the user has set for own work has no say.
type toolchain struct {
	goos, goarch string
	version      string            // "go1.26.8"
	cc           string            // "gcc (Debian 12.2.0-14+deb12u1) 12.2.0"; empty without one
	settings     map[string]string // the user's own that stay: where caches are, and where modules come from
	temp         string            // directory for temporary files; the system's if empty
}

var goRelease = regexp.MustCompile(`^go1\.[0-9]+(\.[0-9]+|rc[0-9]+)$`)

// userSettings of the go command say where it reads and writes, not what it makes.
var userSettings = []string{
	"GOAUTH", "GOCACHE", "GOCACHEPROG", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS",
}

// newToolchain finds the compilers for a platform. The directory distro has a go.mod that asks for a version of Go new enough for all
// components, so that the go command may fetch that one before anything is built.
func newToolchain(ctx context.Context, platform, distro string) (toolchain, error) {
	goos, goarch, _ := strings.Cut(platform, "/")
	t := toolchain{goos: goos, goarch: goarch}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"env", "-json", "GOVERSION"}, userSettings)...)
	cmd.Dir = distro
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return t, ctx.Err()
	}
	if err != nil {
		return t, explain(fmt.Errorf("go env: %w", err), strings.Split(stderr.String(), "\n"))
	}
	if err := json.Unmarshal(out, &t.settings); err != nil {
		return t, fmt.Errorf("go env: %w", err)
	}
	t.version = t.settings["GOVERSION"]
	delete(t.settings, "GOVERSION")
	if out, err := exec.CommandContext(ctx, "gcc", "--version").Output(); err == nil {
		t.cc, _, _ = strings.Cut(string(out), "\n")
	}
	return t, ctx.Err()
}

// env is the environment of the go command and the C compiler. Nothing of the user's is in it but where things are.
func (t toolchain) env(cgo bool) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		for _, prefix := range []string{"GO", "CGO_", "LC_", "PKG_CONFIG"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return slices.Contains([]string{"AR", "CC", "CXX", "CPATH", "C_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LIBRARY_PATH", "SOURCE_DATE_EPOCH"}, name)
	})
	enabled := "0"
	if cgo {
		enabled = "1"
	}
	for name, value := range t.settings {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	if t.temp != "" {
		env = append(env, "TMPDIR="+t.temp)
	}
	// Exactly the one that was asked for its version; one that is no release there is but here.
	toolchain := "local"
	if goRelease.MatchString(t.version) {
		toolchain = t.version
	}
	return append(env, "GOENV=off", "GOTOOLCHAIN="+toolchain, "GOOS="+t.goos, "GOARCH="+t.goarch, "CGO_ENABLED="+enabled, "LC_ALL=C")
}

// output runs a command in a directory and returns its standard output.
func (t toolchain) output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var out strings.Builder
	err := t.run(ctx, dir, false, &out, nil, name, args...)
	return []byte(out.String()), err
}

// run runs a command and all that it starts, which end with it. Each line of standard error goes to line.
func (t toolchain) run(ctx context.Context, dir string, cgo bool, stdout io.Writer, line func(string), name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout = dir, t.env(cgo), stdout
	// A group of its own: an interrupt at the terminal reaches it through ctx alone, and its compilers with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stderr, w := io.Pipe()
	cmd.Stderr = w
	var last []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			last = append(last[max(0, len(last)-29):], lines.Text())
			if line != nil {
				line(lines.Text())
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	// The kernel sends the signal of Pdeathsig when the thread that started the command ends, so this goroutine keeps it.
	runtime.LockOSThread()
	err := cmd.Run()
	runtime.UnlockOSThread()
	_ = w.Close()
	<-read
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return explain(fmt.Errorf("%s %s: %w", name, args[0], err), last)
	}
	return nil
}

// compile builds all programs of a component into dir/bin, and returns their paths by name.
func (t toolchain) compile(ctx context.Context, c Component, dir string, say func(step string)) (map[string]string, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return nil, err
	}
	say("looking at its modules")
	upstream, err := t.download(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := c.checkDeclared(upstream); err != nil {
		return nil, err
	}
	built := map[string]string{}
	var packages []string
	overlay := map[string]string{}
	for _, prog := range c.Programs {
		switch {
		case prog.C != "":
			say("compiling " + prog.C)
			built[prog.Name] = filepath.Join(bin, prog.Name)
			if err := t.compileC(ctx, c, prog, upstream, built[prog.Name]); err != nil {
				return nil, err
			}
		case prog.Package != "":
			// The only name that the go command gives of itself is the one of the package.
			name := executable(prog.Package)
			if prog.Package == "." {
				name = filepath.Base(c.pin.dir)
			}
			packages = append(packages, prog.Package)
			built[prog.Name] = filepath.Join(bin, name)
		default:
			pkg, err := t.combine(ctx, c, prog, dir, overlay)
			if err != nil {
				return nil, err
			}
			packages = append(packages, pkg)
			built[prog.Name] = filepath.Join(bin, prog.Name)
		}
	}
	if len(packages) == 0 {
		return built, nil
	}
	replaced, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, replaced, 0o600); err != nil {
		return nil, err
	}
	flags := append(slices.Clone(compileFlags), "-modfile="+c.pin.mod, "-overlay="+overlayFile, "-tags="+strings.Join(c.Build.Tags, ","))
	total, err := t.countPackages(ctx, c, flags, packages, say)
	if err != nil {
		return nil, err
	}
	ldflags := []string{linkFlags}
	for _, f := range c.Build.Ldflags {
		ldflags = append(ldflags, c.expand(f))
	}
	args := slices.Concat([]string{"build", "-v"}, flags, []string{"-ldflags=" + strings.Join(ldflags, " "), "-o", bin + "/"}, packages)
	compiled := 0
	err = t.run(ctx, c.pin.dir, c.Build.Cgo, io.Discard, func(line string) {
		if isPackage(line) { // -v says each package that it compiles; cached ones it does not
			compiled++
			say(fmt.Sprintf("compiling, %d packages of at most %d", compiled, total))
		}
	}, "go", args...)
	return built, err
}

// isPackage says whether a line of "go build -v" is the import path of a package.
func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " \t#") && !strings.HasPrefix(line, "go:")
}

// download makes sure of the component's module and returns the directory it lies in.
func (t toolchain) download(ctx context.Context, c Component) (string, error) {
	if c.pin.own {
		return c.pin.dir, nil
	}
	out, err := t.output(ctx, c.pin.dir, "go", "mod", "download", "-json", "-modfile="+c.pin.mod, c.Module)
	var m struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &m); err == nil && jsonErr != nil {
		return "", fmt.Errorf("go mod download %s: %w", c.Module, jsonErr)
	}
	if m.Error != "" {
		return "", explain(fmt.Errorf("the module %s cannot be had", c.Module), []string{m.Error})
	}
	return m.Dir, err
}

// countPackages fetches all modules that are needed and counts the packages.
func (t toolchain) countPackages(ctx context.Context, c Component, flags, packages []string, say func(string)) (int, error) {
	var out strings.Builder
	fetched := 0
	err := t.run(ctx, c.pin.dir, c.Build.Cgo, &out, func(line string) {
		if strings.HasPrefix(line, "go: downloading") {
			fetched++
			say(fmt.Sprintf("fetching modules, %d so far", fetched))
		}
	}, "go", slices.Concat([]string{"list", "-deps", "-f={{.ImportPath}}"}, flags, packages)...)
	return strings.Count(out.String(), "\n"), err
}

// combine copies the mains of a program as packages beside a main that calls them; the go command sees them in the component's module
// by the overlay. It returns the package of that main.
func (t toolchain) combine(ctx context.Context, c Component, prog Program, dir string, overlay map[string]string) (string, error) {
	m, err := t.output(ctx, c.pin.dir, "go", "list", "-m", "-modfile="+c.pin.mod)
	if err != nil {
		return "", err
	}
	below := path.Join(strings.TrimSpace(string(m)), "generated", prog.Name)
	place := func(name string, content []byte) error {
		file := filepath.Join(dir, "generated", prog.Name, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		overlay[filepath.Join(c.pin.dir, "generated", prog.Name, name)] = file
		return os.WriteFile(file, content, 0o600)
	}
	main, err := combinedSource(prog, below)
	if err != nil {
		return "", err
	}
	if err := place("main.go", main); err != nil {
		return "", err
	}
	for _, cmd := range prog.Commands {
		out, err := t.output(ctx, c.pin.dir, "go", "list", "-find", "-modfile="+c.pin.mod, "-mod=readonly", "-tags="+strings.Join(c.Build.Tags, ","),
			"-f={{.Dir}}{{range .GoFiles}}\n{{.}}{{end}}", cmd.Package)
		if err != nil {
			return "", err
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		missing := slices.Clone(cmd.Without)
		for _, name := range lines[1:] {
			file := filepath.Join(lines[0], name)
			source, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			changed, found, err := importable(file, source, identifier(cmd.Name), cmd.Without)
			if err != nil {
				return "", fmt.Errorf("making %s a part of %s: %w", cmd.Package, prog.Name, err)
			}
			missing = slices.DeleteFunc(missing, func(i string) bool { return slices.Contains(found, i) })
			if err := place(filepath.Join(identifier(cmd.Name), name), changed); err != nil {
				return "", err
			}
		}
		if len(missing) > 0 {
			return "", fmt.Errorf("%s: %s does not import %s any more: take it out of without", filepath.Join(c.dir, "component.yaml"), cmd.Package, strings.Join(missing, ", "))
		}
	}
	return below, nil
}

// compileC builds a program from a file of C in upstream's module.
func (t toolchain) compileC(ctx context.Context, c Component, prog Program, upstream, to string) error {
	args := []string{"-Os", "-Wall", "-static", "-s", "-fno-ident", "-ffile-prefix-map=" + upstream + "=.", "-Wl,--build-id=none", "-o", to}
	for _, f := range prog.CFlags {
		args = append(args, c.expand(f))
	}
	return t.run(ctx, upstream, true, io.Discard, nil, "gcc", append(args, prog.C)...)
}

// checkDeclared makes sure that upstream's module says the version that the release names.
func (c Component) checkDeclared(upstream string) error {
	if c.Declared == nil {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(upstream, c.Declared.File))
	if err != nil {
		return err
	}
	if text := c.expand(c.Declared.Text); !slices.Contains(strings.Split(string(b), "\n"), text) {
		return fmt.Errorf("component %s: %s of %s does not say %q, so it is not of version %s", c.name, c.Declared.File, c.Module, text, c.version.Version)
	}
	return nil
}

// checkVersions runs the programs of a component and makes sure that each says the version that it is sold as.
func (t toolchain) checkVersions(ctx context.Context, c Component, built map[string]string, dir string) error {
	if t.goos != runtime.GOOS || t.goarch != runtime.GOARCH {
		return nil // cannot run here
	}
	// As a whole: 1.37.1 is not 1.37.10.
	number := regexp.MustCompile(`(^|[^0-9.])` + regexp.QuoteMeta(c.expand("${number}")) + `($|[^0-9.])`)
	for _, p := range c.Programs {
		commands := p.Commands
		if len(commands) == 0 {
			commands = []Command{{Name: p.Name, Version: p.Version}}
		}
		for _, cmd := range commands {
			link := filepath.Join(dir, cmd.Name)
			if err := os.Symlink(built[p.Name], link); err != nil {
				return err
			}
			run := exec.CommandContext(ctx, link, cmd.Version...)
			run.Dir, run.Env = dir, []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "LC_ALL=C"}
			run.WaitDelay = time.Second
			out, err := run.CombinedOutput()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s was built, but %s %s fails: %w: %s", c.name, cmd.Name, strings.Join(cmd.Version, " "), err, lastLine(out))
			}
			if !number.Match(out) {
				return fmt.Errorf("%s was built as %s, but %s %s says: %s", c.name, c.version.Version, cmd.Name, strings.Join(cmd.Version, " "), lastLine(out))
			}
		}
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

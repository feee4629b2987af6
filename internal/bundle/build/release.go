package build

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// InvalidError is a wish that cannot be met whatever is tried: a version or platform that is not declared, or data that makes no sense.
type InvalidError struct{ error }

func (e InvalidError) Unwrap() error { return e.error }

func invalid(format string, a ...any) error { return InvalidError{fmt.Errorf(format, a...)} }

// Release says what goes with one minor of Kubernetes: a file such as distro/v1.37.yaml.
type Release struct {
	Kubernetes    string             `json:"kubernetes"`    // "v1.37.1"
	Platforms     []string           `json:"platforms"`     // "linux/amd64"
	Distributions []string           `json:"distributions"` // whose packages hosts and images need: distro/NAME.yaml
	Components    map[string]Version `json:"components"`    // by directory in distro
}

// Version is which version of a component goes with a release, and why.
type Version struct {
	Version string    `json:"version"` // upstream's, spelled as upstream's tag: "v3.7.3", "3.10.2"
	Date    time.Time `json:"date"`    // of upstream's tag, by the module proxy; the only date that builds know
	Commit  string    `json:"commit"`  // of upstream's tag, where the module proxy states it
	Source  string    `json:"source"`  // why this one
	Kubeadm string    `json:"kubeadm"` // the image tag that kubeadm of the release names, where it is another
}

// commit is what programs report as theirs where the commit is not known.
func (v Version) commit() string {
	if v.Commit == "" {
		return "unknown"
	}
	return v.Commit
}

var (
	releaseVersion = regexp.MustCompile(`^v1\.[0-9]+\.[0-9]+$`)
	commitHash     = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Releases reads all releases that are declared in a directory, newest first.
func Releases(distro string) ([]Release, error) {
	files, err := filepath.Glob(filepath.Join(distro, "v1.*.yaml"))
	if err != nil {
		return nil, err
	}
	var list []Release
	for _, f := range files {
		r, err := readRelease(f)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		return nil, invalid("%s declares no release: it is the directory distro of Kubewright's source that is wanted; name it with --distro, or run this in a clone", distro)
	}
	slices.SortFunc(list, func(a, b Release) int { return -compareMinor(a.Kubernetes, b.Kubernetes) })
	return list, nil
}

func compareMinor(a, b string) int {
	var x, y int
	_, _ = fmt.Sscanf(a, "v1.%d.", &x)
	_, _ = fmt.Sscanf(b, "v1.%d.", &y)
	return x - y
}

func readRelease(file string) (Release, error) {
	var r Release
	if err := readYAML(file, &r); err != nil {
		return r, err
	}
	var wrong []error
	if !releaseVersion.MatchString(r.Kubernetes) {
		wrong = append(wrong, fmt.Errorf("kubernetes: %q: want a version such as v1.37.1", r.Kubernetes))
	}
	if len(r.Platforms) == 0 {
		wrong = append(wrong, errors.New("platforms: want at least one, such as linux/amd64"))
	}
	if len(r.Components) == 0 {
		wrong = append(wrong, errors.New("components: want at least one"))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Components)) {
		v := r.Components[name]
		if v.Version == "" || v.Source == "" || v.Date.IsZero() {
			wrong = append(wrong, fmt.Errorf("components.%s: want version, date and source", name))
		}
		if v.Commit != "" && !commitHash.MatchString(v.Commit) {
			wrong = append(wrong, fmt.Errorf("components.%s.commit: %q: want 40 hexadecimal digits", name, v.Commit))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return r, invalid("%s: %w", file, err)
	}
	return r, nil
}

// choose finds a release by its version; "" is the newest.
func choose(releases []Release, version, platform string) (Release, error) {
	for _, r := range releases {
		if version != "" && r.Kubernetes != version {
			continue
		}
		if !slices.Contains(r.Platforms, platform) {
			return r, invalid("Kubernetes %s is not built for %s, but for %s", r.Kubernetes, platform, strings.Join(r.Platforms, ", "))
		}
		return r, nil
	}
	var declared []string
	for _, r := range releases {
		declared = append(declared, r.Kubernetes)
	}
	return Release{}, invalid("Kubernetes %s is not declared; there are %s", version, strings.Join(declared, ", "))
}

func readYAML(file string, v any) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return invalid("%s does not exist", file)
	}
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(b, v); err != nil {
		return invalid("%s: %w", file, err)
	}
	return nil
}

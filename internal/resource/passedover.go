package resource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// passedOverDir holds what was tried and could not be set, although it did not look so before: emulated parameters, capabilities that only count
// in the machine's own user namespace. Without it, the same difference would show, and be tried, again and again.
const passedOverDir = Dir + "/unsettable"

func passedOverPath(id ID) string {
	return path.Join(passedOverDir, id.Kind+" "+strings.ReplaceAll(id.Name, "/", "~"))
}

// passOver remembers that something cannot be set to a value, and why.
func passOver(env *Env, id ID, value string, why error) error {
	return env.Files.Write(passedOverPath(id), Attributes{Mode: 0o644}, strings.NewReader(value+"\n"+why.Error()+"\n"))
}

// passedOver is why something cannot be set to a value, if that is known.
func passedOver(env *Env, id ID, value string) (why string, err error) {
	r, err := env.Files.Open(passedOverPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxText))
	if err := errors.Join(err, r.Close()); err != nil {
		return "", fmt.Errorf("reading %s: %w", passedOverPath(id), err)
	}
	was, why, _ := strings.Cut(string(b), "\n")
	if was != value {
		return "", nil
	}
	return fmt.Sprintf("%s; to have it tried again, remove %q", strings.TrimSpace(why), passedOverPath(id)), nil
}

// forgetPassedOver is the reverse of passOver.
func forgetPassedOver(env *Env, id ID) error {
	if _, err := env.Files.Stat(passedOverPath(id)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := env.Files.Remove(passedOverPath(id)); err != nil {
		return err
	}
	return removeEmpty(env, passedOverDir, passedOverDir)
}

// cannot says whether an error means that the machine does not let a thing be set, as opposed to its having gone wrong.
func cannot(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EINVAL)
}

// impossible is what was observed where a thing cannot be made so: worth a note if that is harmless, and else a reason to stop.
func impossible(env *Env, state State, why, optional, remedy string) Observed {
	if optional != "" {
		return Observed{State: state, Note: why + "; " + optional}
	}
	if env.Kernel.Shared() {
		remedy = "this machine is a container: the computer that it runs on has to do it"
	}
	return Observed{State: state, Blocked: why + "; " + remedy}
}

package resource

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Block is some lines in a text file that belongs to the user: /etc/hosts. They stand between two comments, and the rest stays as it is.
type Block struct {
	Path string `json:"path"`
	// Name tells apart the blocks of a file: "# BEGIN kubewright NAME".
	Name string `json:"name"`
	// Text is its lines.
	Text string `json:"text"`
	// Once is what has to answer before they are written; nil if nothing has to.
	Once *HTTPAnswers `json:"once,omitempty"`
}

// onceTime is how long a block waits for what has to answer before: an API server may be starting in the same run.
const onceTime = 2 * time.Minute

// ID is the file's path and its name.
func (b Block) ID() ID { return ID{"block", b.Path + " " + b.Name} }

func (b Block) begin() string { return "# BEGIN kubewright " + b.Name + "\n" }

func (b Block) end() string { return "# END kubewright " + b.Name + "\n" }

// whole is the block with its comments.
func (b Block) whole() string {
	text := b.Text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return b.begin() + text + b.end()
}

// cut splits a text at the block. Of several of its name it is the first; the others are taken out of what is after it.
func (b Block) cut(text string) (before, block, after string, err error) {
	start := lineIndex(text, b.begin())
	if start < 0 {
		if lineIndex(text, b.end()) >= 0 {
			err = b.damaged(b.end(), b.begin())
		}
		return text, "", "", err
	}
	length := lineIndex(text[start:], b.end())
	if length < 0 {
		return text, "", "", b.damaged(b.begin(), b.end())
	}
	stop := min(start+length+len(b.end()), len(text)) // the last line of a file may have no end
	before, block = text[:start], text[start:stop]
	rest, _, more, err := b.cut(text[stop:])
	return before, block, rest + more, err
}

func (b Block) damaged(has, lacks string) error {
	return BlockedError{fmt.Sprintf("%s has the line %q without %q; put that back, or remove what is left of the block",
		b.Path, strings.TrimSpace(has), strings.TrimSpace(lacks))}
}

// lineIndex is where a line starts in a text, or -1. The line ends in a newline, which the text may lack at its end.
func lineIndex(text, line string) int {
	for at := 0; at < len(text); {
		length := strings.IndexByte(text[at:], '\n') + 1
		if length == 0 {
			length = len(text) - at
		}
		if strings.TrimSuffix(text[at:at+length], "\n")+"\n" == line {
			return at
		}
		at += length
	}
	return -1
}

// into is a text with the block in its place, or at the end.
func (b Block) into(text string) (string, error) {
	before, block, after, err := b.cut(text)
	if err != nil {
		return "", err
	}
	if block == "" && before != "" && !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	return before + b.whole() + after, nil
}

// Observe reads the file.
func (b Block) Observe(_ context.Context, env *Env) (Observed, error) {
	f, err := readText(env, b.Path)
	if err != nil {
		return Observed{}, err
	}
	before, block, after, err := b.cut(f.text)
	if err != nil {
		return Observed{State: Present, Blocked: err.Error()}, nil
	}
	o := Observed{State: Absent, Values: map[string]string{"file": "present"}}
	if !f.present {
		o.Values["file"] = "absent"
	}
	if f.text != "" && !strings.HasSuffix(f.text, "\n") {
		o.Values["last line"] = "without end"
	}
	if block != "" {
		o.State = Present
		o.Values["digest"] = DigestOf([]byte(block))
		if strings.Contains(after, b.begin()) {
			o.Values["digest"] = "several"
		}
	}
	if before+b.whole()+after != f.text {
		f.observe(&o)
	}
	return o, nil
}

// Diff shows the lines of the file that change.
func (b Block) Diff(o Observed) []Change {
	want := DigestOf([]byte(b.whole()))
	if o.State == Present && o.Value("digest") == want {
		return nil
	}
	c := Change{What: "content"}
	if updated, err := b.into(o.Text); err == nil {
		c.Lines = DiffLines(o.Text, updated)
	}
	return []Change{c}
}

// wait waits until what has to answer does.
func (b Block) wait(ctx context.Context, env *Env) error {
	limited, cancel := context.WithTimeout(ctx, onceTime)
	defer cancel()
	tick := time.NewTicker(endPause)
	defer tick.Stop()
	for {
		why, err := b.Once.Check(ctx, env)
		if err != nil || why == "" {
			return err
		}
		env.progress("waiting: " + why)
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s is left as it is, since nobody may be led where nothing answers: after %s, %s", b.Path, onceTime, why)
		}
	}
}

// Apply puts it into the file.
func (b Block) Apply(ctx context.Context, env *Env) error {
	if b.Once != nil {
		if err := b.wait(ctx, env); err != nil {
			return err
		}
	}
	f, err := readText(env, b.Path)
	if err != nil {
		return err
	}
	text, err := b.into(f.text)
	if err != nil {
		return err
	}
	return f.write(env, text)
}

// Undo takes it out of the file. A file that it made goes with it, unless somebody wrote more into it.
func (b Block) Undo(_ context.Context, env *Env, previous Observed) error {
	f, err := readText(env, b.Path)
	if err != nil || !f.present {
		return err
	}
	before, block, after, err := b.cut(f.text)
	if err != nil {
		return err
	}
	if block == "" {
		return nil
	}
	if previous.Value("last line") != "" && after == "" {
		before = strings.TrimSuffix(before, "\n")
	}
	if before+after == "" && previous.Value("file") == "absent" {
		return env.Files.Remove(f.path)
	}
	return f.write(env, before+after)
}

package cli

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// shellCommand is a command in a script: its words, and the file that its output goes to, if it does.
type shellCommand struct {
	line   int
	words  []string
	output string
}

// shellToken is a word or an operator.
type shellToken struct {
	line     int
	text     string
	operator bool
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// shellCommands are the commands of a script, as far as documentation needs them: words with quotes, comments, lines that go on, and what joins commands or leads their
// output elsewhere. What stands before a command, such as sudo or a variable, is left out. first is the number of the script's first line.
func shellCommands(script string, first int) ([]shellCommand, error) {
	tokens, err := shellTokens(script, first)
	if err != nil {
		return nil, err
	}
	var list []shellCommand
	var c shellCommand
	end := func() {
		for len(c.words) > 1 && (c.words[0] == "sudo" || assignment.MatchString(c.words[0])) {
			c.words = c.words[1:]
		}
		if len(c.words) > 0 {
			list = append(list, c)
		}
		c = shellCommand{}
	}
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case !t.operator:
			if len(c.words) == 0 {
				c.line = t.line
			}
			c.words = append(c.words, t.text)
		case t.text == ">" || t.text == ">>" || t.text == "<":
			if i+1 == len(tokens) || tokens[i+1].operator {
				return nil, fmt.Errorf("line %d: there is no file after %s", t.line, t.text)
			}
			if i++; t.text != "<" {
				c.output = tokens[i].text
			}
		default:
			end()
		}
	}
	end()
	return list, nil
}

func shellTokens(script string, line int) ([]shellToken, error) {
	var tokens []shellToken
	var word strings.Builder
	in := false // a word
	end := func() {
		if in {
			tokens = append(tokens, shellToken{line: line, text: word.String()})
		}
		word.Reset()
		in = false
	}
	r := []rune(script)
	for i := 0; i < len(r); i++ {
		switch c := r[i]; {
		case c == '\\' && i+1 < len(r) && r[i+1] == '\n':
			end()
			i++
			line++
		case c == '\\' && i+1 < len(r):
			i++
			word.WriteRune(r[i])
			in = true
		case c == '\'' || c == '"':
			close := strings.IndexRune(string(r[i+1:]), c)
			if close < 0 {
				return nil, fmt.Errorf("line %d: a quote has no end", line)
			}
			quoted := string(r[i+1:])[:close]
			word.WriteString(quoted)
			in = true
			i += len([]rune(quoted)) + 1
			line += strings.Count(quoted, "\n")
		case c == '#' && !in:
			for i+1 < len(r) && r[i+1] != '\n' {
				i++
			}
		case c == '\n':
			end()
			tokens = append(tokens, shellToken{line, "\n", true})
			line++
		case c == ' ' || c == '\t':
			end()
		case strings.ContainsRune("|&;<>", c):
			end()
			op := string(c)
			if i+1 < len(r) && r[i+1] == c {
				op += string(c)
				i++
			}
			if op == "<<" {
				return nil, fmt.Errorf("line %d: text within a script is not understood; name a file", line)
			}
			tokens = append(tokens, shellToken{line, op, true})
		default:
			word.WriteRune(c)
			in = true
		}
	}
	end()
	return tokens, nil
}

func TestShellCommands(t *testing.T) {
	for _, c := range []struct {
		script string
		want   []shellCommand
	}{
		{"", nil},
		{"# nothing\n\n", nil},
		{"kubewright plan  # so\nkubewright apply", []shellCommand{{1, []string{"kubewright", "plan"}, ""}, {2, []string{"kubewright", "apply"}, ""}}},
		{"kubewright schema >a.json && cat <a.json | jq .x; ls", []shellCommand{{1, []string{"kubewright", "schema"}, "a.json"}, {1, []string{"cat"}, ""}, {1, []string{"jq", ".x"}, ""}, {1, []string{"ls"}, ""}}},
		{"sudo A=b kubewright \\\n  init --name 'a b' --hosts \"x=1,y#2\"", []shellCommand{{1, []string{"kubewright", "init", "--name", "a b", "--hosts", "x=1,y#2"}, ""}}},
		{"A=b", []shellCommand{{1, []string{"A=b"}, ""}}},
		{"x '中文' y\\ z", []shellCommand{{1, []string{"x", "中文", "y z"}, ""}}},
	} {
		got, err := shellCommands(c.script, 1)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q is %v, %v; want %v", c.script, got, err, c.want)
		}
	}
	for _, script := range []string{"a 'b", "a >", "a > | b", "cat <<END\nx\nEND"} {
		if got, err := shellCommands(script, 1); err == nil {
			t.Errorf("%q is taken for %v", script, got)
		}
	}
}

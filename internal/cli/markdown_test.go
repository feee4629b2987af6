package cli

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// markdown is what tests of the documentation look at in a page: code, and the rest.
type markdown struct {
	fenced []fencedCode
	// indented are lines of code that stand four columns to the right, and prose all others, outside of fences.
	indented, prose []markdownLine
}

// fencedCode is code between fences.
type fencedCode struct {
	line     int // of its first line
	language string
	text     string
}

type markdownLine struct {
	line int
	text string
}

var fence = regexp.MustCompile("^ {0,3}(```+|~~~+) *([A-Za-z0-9-]*) *$")

// parseMarkdown takes a page apart.
func parseMarkdown(page string) (markdown, error) {
	var m markdown
	var open *fencedCode
	var end string
	n := 0
	for line := range strings.Lines(page) {
		n++
		line = strings.TrimRight(line, "\r\n")
		f := fence.FindStringSubmatch(line)
		switch {
		case open != nil && f != nil && strings.HasPrefix(f[1], end) && f[2] == "":
			m.fenced = append(m.fenced, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case f != nil:
			open, end = &fencedCode{line: n + 1, language: f[2]}, f[1]
		case strings.HasPrefix(line, "    "):
			m.indented = append(m.indented, markdownLine{n, strings.TrimSpace(line)})
		default:
			m.prose = append(m.prose, markdownLine{n, line})
		}
	}
	if open != nil {
		return m, fmt.Errorf("line %d: the code that begins here has no end", open.line)
	}
	return m, nil
}

var (
	inlineCode   = regexp.MustCompile("`([^`]+)`")
	markdownLink = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	heading      = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
)

// spans are the pieces of code within lines of prose.
func (m markdown) spans() []markdownLine { return m.matches(inlineCode, 1) }

// links are the targets of links in prose.
func (m markdown) links() []markdownLine {
	without := markdown{}
	for _, l := range m.prose {
		without.prose = append(without.prose, markdownLine{l.line, inlineCode.ReplaceAllString(l.text, "code")})
	}
	return without.matches(markdownLink, 2)
}

func (m markdown) matches(form *regexp.Regexp, group int) []markdownLine {
	var found []markdownLine
	for _, l := range m.prose {
		for _, match := range form.FindAllStringSubmatch(l.text, -1) {
			found = append(found, markdownLine{l.line, match[group]})
		}
	}
	return found
}

// anchors are the names that headings can be linked to by, as GitHub makes them.
func (m markdown) anchors() []string {
	var list []string
	for _, l := range m.prose {
		match := heading.FindStringSubmatch(l.text)
		if match == nil {
			continue
		}
		text := markdownLink.ReplaceAllString(strings.ReplaceAll(match[1], "`", ""), "$1")
		base := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		name := base
		for i := 1; slices.Contains(list, name); i++ {
			name = fmt.Sprintf("%s-%d", base, i)
		}
		list = append(list, name)
	}
	return list
}

func TestParseMarkdown(t *testing.T) {
	const page = "# A `b` c\n\nSee [this](x.md#y), `code [not](a.md)`.\n\n```sh\nkubewright plan\n    deep\n```\n\n    bin/kubewright apply  # so\n\n~~~yaml\n```\n~~~\n## Sub: part (2)\n## Sub: part (2)\n### [linked](z.md) 中文\n"
	m, err := parseMarkdown(page)
	if err != nil {
		t.Fatal(err)
	}
	if want := []fencedCode{{6, "sh", "kubewright plan\n    deep\n"}, {13, "yaml", "```\n"}}; !reflect.DeepEqual(m.fenced, want) {
		t.Errorf("the code is %v, not %v", m.fenced, want)
	}
	if want := []markdownLine{{10, "bin/kubewright apply  # so"}}; !reflect.DeepEqual(m.indented, want) {
		t.Errorf("the indented code is %v, not %v", m.indented, want)
	}
	if want := []markdownLine{{3, "x.md#y"}, {17, "z.md"}}; !reflect.DeepEqual(m.links(), want) {
		t.Errorf("the links are %v, not %v", m.links(), want)
	}
	if want := []markdownLine{{1, "b"}, {3, "code [not](a.md)"}}; !reflect.DeepEqual(m.spans(), want) {
		t.Errorf("the spans are %v, not %v", m.spans(), want)
	}
	if want := []string{"a-b-c", "sub-part-2", "sub-part-2-1", "linked-中文"}; !reflect.DeepEqual(m.anchors(), want) {
		t.Errorf("the anchors are %q, not %q", m.anchors(), want)
	}
	if _, err := parseMarkdown("a\n```sh\nb\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("code without an end: %v", err)
	}
}

package v1alpha1

import (
	"regexp"
	"sync"
)

// form is a regular expression that is compiled when it is first used: most processes of this program are agents, which read no cluster file, and to compile
// all that is compared with one took them longer than any other package's start.
func form(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

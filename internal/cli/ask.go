package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// person says whether somebody is there to be asked, and where the answers come from.
func person(c *cobra.Command) (*os.File, bool) {
	in, ok := c.InOrStdin().(*os.File)
	return in, ok && term.IsTerminal(int(in.Fd()))
}

// mayAsk refuses a command that will have to ask where it cannot, before it does anything.
func mayAsk(c *cobra.Command, output string) error {
	if output == "json" {
		return usageError{errors.New("with --output json nobody can be asked: say --yes")}
	}
	if _, ok := person(c); !ok {
		return usageError{fmt.Errorf("%w: say --yes", errNobody)}
	}
	return nil
}

// errNobody is that a question needs a person, and nobody is there.
var errNobody = errors.New("nobody is there to be asked")

// ask asks a person for a yes; anything else is the error declined.
func ask(c *cobra.Command, question string, declined error) error {
	return askFor(c, question+" [y/N] ", declined, func(answer string) bool {
		a := strings.ToLower(answer)
		return a == "y" || a == "yes"
	})
}

// askFor asks a person for an answer that means consent; anything else is the error declined.
func askFor(c *cobra.Command, question string, declined error, consent func(answer string) bool) error {
	in, ok := person(c)
	if !ok {
		return errNobody
	}
	fmt.Fprint(c.ErrOrStderr(), question)
	answers := make(chan string, 1)
	go func() { // ends with the answer or the program: a terminal cannot be read with a context
		answer, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			answer = ""
		}
		answers <- answer
	}()
	select {
	case <-c.Context().Done():
		fmt.Fprintln(c.ErrOrStderr())
		return c.Context().Err()
	case answer := <-answers:
		if !consent(strings.TrimSpace(answer)) {
			return declined
		}
		return nil
	}
}

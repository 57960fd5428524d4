// Package exitcode says with which codes the programs of this project end, and
// has the words for their help texts.
package exitcode

import (
	"errors"
	"flag"
	"fmt"
)

// The codes.
const (
	OK     = 0
	Failed = 1
	// Usage says that the program was called wrongly.
	Usage = 2
	// Interrupted is what shells say of a program that SIGINT has ended. Only
	// programs that do something and end have it: for those that run until they
	// are told to end, a signal is the way to do so.
	Interrupted = 130
)

// Text is the paragraph of a help text. It has a line for each code; ok and failed
// say when the program ends with these.
func Text(ok, failed string) string {
	return fmt.Sprintf("Exit codes:\n  %d  %s\n  %d  %s\n  %d  it was called wrongly: a flag, an argument or a variable", OK, ok, Failed, failed, Usage)
}

// ServiceText is [Text] for a program that runs until it is told to end.
func ServiceText() string {
	return Text("it was told to end, by SIGTERM or SIGINT", "it failed; the log says why")
}

// usageError says that the program was called wrongly.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// AsUsage marks an error: the program was called wrongly. nil stays nil.
func AsUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// Usagef returns an error as [fmt.Errorf] does: the program was called wrongly.
func Usagef(format string, args ...any) error { return AsUsage(fmt.Errorf(format, args...)) }

// Of returns the code for an error. Whoever asks for help has called rightly.
func Of(err error) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return OK
	case errors.As(err, &usage):
		return Usage
	}
	return Failed
}

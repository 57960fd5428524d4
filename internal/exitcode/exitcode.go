// Package exitcode has the exit codes of this project's programs, and the
// paragraph about them for help texts.
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
	// Usage means that the program was called wrongly.
	Usage = 2
	// Found means that the program did what it was asked to, and has found
	// problems, which its output names. It differs from Failed, so that a script
	// can tell "something is wrong" from "nobody could look".
	Found = 3
	// Interrupted is what shells report for a program that SIGINT has ended.
	// Only programs that do one thing and end use it: a service is stopped by a
	// signal and then returns OK.
	Interrupted = 130
)

// Text is the paragraph for a help text. It has a line for each code; ok and
// failed say when the program ends with these.
func Text(ok, failed string) string {
	return fmt.Sprintf("Exit codes:\n  %d  %s\n  %d  %s\n  %d  it was called wrongly: a flag, an argument or a variable", OK, ok, Failed, failed, Usage)
}

// ServiceText is [Text] for a program that runs until it is stopped.
func ServiceText() string {
	return Text("it was told to end, by SIGTERM or SIGINT", "it failed; the log says why")
}

// usageError means that the program was called wrongly.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// AsUsage marks an error: the program was called wrongly. Nil stays nil.
func AsUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// Usagef is [AsUsage] of [fmt.Errorf].
func Usagef(format string, args ...any) error { return AsUsage(fmt.Errorf(format, args...)) }

// Of returns the exit code for an error. A request for help is OK.
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

package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/akri-go/akri/internal/exitcode"
)

// exits is the paragraph about exit codes in the help of a command, unless it
// has its own.
func exits() string { return ExitText("it succeeded", "it failed") }

// wrongCall says what is wrong with a call, and where to read how to call the
// command.
func wrongCall(cmd *cobra.Command, err error) error {
	return exitcode.Usagef("%s: see %s --help", plainly(err), cmd.CommandPath())
}

// What Cobra says of flags that are missing or exclude each other.
var (
	required = regexp.MustCompile(`^required flag\(s\) (.*) not set$`)
	needsOne = regexp.MustCompile(`^at least one of the flags in the group \[(.*)\] is required$`)
	notBoth  = regexp.MustCompile(`^if any flags in the group .* none of the others can be; \[(.*)\] were all set$`)
)

// plainly says what Cobra says of flags as a person would; other errors it
// leaves as they are.
func plainly(err error) string {
	text := err.Error()
	flags := func(names, between string) string {
		return "--" + strings.Join(strings.Fields(strings.NewReplacer(`"`, "", ",", "").Replace(names)), between+"--")
	}
	var value *pflag.InvalidValueError
	if m := required.FindStringSubmatch(text); m != nil {
		return "give " + flags(m[1], " and ")
	} else if m := needsOne.FindStringSubmatch(text); m != nil {
		return "give " + flags(m[1], " or ")
	} else if m := notBoth.FindStringSubmatch(text); m != nil {
		return flags(m[1], " and ") + " cannot be used together"
	} else if errors.As(err, &value) && value.GetFlag().Value.Type() == "int" {
		return fmt.Sprintf("--%s is %q: want a whole number", value.GetFlag().Name, value.GetValue())
	}
	return text
}

// Habits gives a command and all below it what all have in common: groups that
// know their commands, checked values, completion, exit codes. Each of them must
// have Args.
func Habits(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		Habits(sub)
	}
	cmd.SetFlagErrorFunc(wrongCall)
	if !cmd.Runnable() {
		group(cmd)
		return
	}
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) != nil { // Cobra calls it an unknown command
			if len(args) == 0 {
				return wrongCall(cmd, fmt.Errorf("give %s", strings.TrimPrefix(cmd.Use, cmd.Name()+" ")))
			}
			hint := ""
			if f := cmd.Flags().Lookup("filename"); f != nil && !f.Changed {
				hint = ": a file is given with -" + f.Shorthand
			}
			return wrongCall(cmd, fmt.Errorf("%s does not take the argument %q%s", cmd.CommandPath(), args[len(args)-1], hint))
		}
		return nil
	}
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		// Cobra's own checks come later, and cannot be distinguished from failures.
		for _, err := range []error{cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()} {
			if err != nil {
				return wrongCall(cmd, err)
			}
		}
		if err := sensible(cmd.Flags()); err != nil {
			return exitcode.AsUsage(err)
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	if !strings.Contains(cmd.Long, "Exit codes:") {
		cmd.Long += "\n\n" + exits()
	}
}

// group makes a command that only has subcommands know them.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := cmd.CommandPath() + " --help lists them"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return exitcode.Usagef("there is no command %s %s: %s", cmd.CommandPath(), args[0], hint)
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.Long += "\n\n" + exits()
}

// sensible refuses values that none of our flags can have: an empty text, as
// from a variable that is not set, and negative numbers.
func sensible(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		var wrong string
		switch f.Value.Type() {
		case "string":
			if f.Value.String() == "" {
				wrong = "is empty"
			}
		case "stringArray":
			if list, ok := f.Value.(pflag.SliceValue); ok && slices.Contains(list.GetSlice(), "") {
				wrong = "is empty"
			}
		case "int", "duration":
			if strings.HasPrefix(f.Value.String(), "-") {
				wrong = "is " + f.Value.String() + ", which is negative"
			}
		}
		if wrong != "" && err == nil {
			err = fmt.Errorf("--%s %s", f.Name, wrong)
		}
	})
	return err
}

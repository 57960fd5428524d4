package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// CompleteWith offers what list finds, and no files.
func CompleteWith(list func(context.Context, []string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return list(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteFlag completes a flag with files that have these extensions, or with
// folders if there are none.
func CompleteFlag(cmd *cobra.Command, flag string, extensions ...string) {
	directive := cobra.ShellCompDirectiveFilterFileExt
	if len(extensions) == 0 {
		directive = cobra.ShellCompDirectiveFilterDirs
	}
	complete(cmd, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return extensions, directive
	})
}

// CompleteValues completes a flag with these values.
func CompleteValues(cmd *cobra.Command, flag string, values ...string) {
	complete(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func complete(cmd *cobra.Command, flag string, with cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, with); err != nil { // cannot happen: the flag exists
		cmd.RunE = func(*cobra.Command, []string) error { return err }
	}
}

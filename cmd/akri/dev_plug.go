package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/exitcode"
)

func newPlugCommand(dir *string) *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "plug",
		Short: "Plug a device into this machine, and so into all nodes",
		Long: `Adds a zram device (a compressed block device in memory, /dev/zram<n>) to this
machine and prints its name. The kernel announces it like any device that is
plugged in, so a Configuration with the udev rule

  SUBSYSTEM=="block", KERNEL=="zram*"

finds it. akri dev unplug removes it, akri dev down too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 {
				return exitcode.Usagef("--count is %d: plug at least one", count)
			}
			c, err := devcluster.Open(*dir)
			if err != nil {
				return err
			}
			for range count {
				name, err := c.Plug(cmd.Context())
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&count, "count", "n", 1, "number of devices")
	return cmd
}

func newUnplugCommand(dir *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "unplug [zram<n>]",
		Short: "Unplug a device that akri dev plug has plugged in",
		Long: `Removes the named devices, the latest one if none is named, or all with --all,
and prints their names. Only devices that akri dev plug added can be removed.`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: cli.CompleteWith(func(_ context.Context, args []string) []string {
			c, err := devcluster.Open(*dir)
			if err != nil || len(args) > 0 {
				return nil
			}
			names, _ := c.Plugged() // nothing to offer then
			return names
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return exitcode.Usagef("name a device or say --all, not both")
			}
			if len(args) > 0 && args[0] == "" {
				return exitcode.Usagef("the device's name is empty")
			}
			c, err := devcluster.Open(*dir)
			if err != nil {
				return err
			}
			names := args
			if all {
				if names, err = c.Plugged(); err != nil {
					return err
				}
			} else if len(args) == 0 {
				names = []string{""} // the latest
			}
			for _, n := range names {
				name, err := c.Unplug(cmd.Context(), n)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove all devices that akri dev plug added")
	return cmd
}

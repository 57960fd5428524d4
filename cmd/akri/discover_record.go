package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/handlers/udev"
	"github.com/akri-go/akri/internal/handlers/udev/recording"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/rulehelp"
	"github.com/akri-go/akri/internal/handlers/udev/vital"
)

// nodeMounts is this machine's table of mounts.
const nodeMounts = "/proc/1/mountinfo"

// record writes which devices this machine has.
func record(cmd *cobra.Command, file string, keepSerials bool) error {
	cmd.SilenceUsage = true
	s := recording.Machine{
		Sys:         os.DirFS("/sys").(fs.ReadLinkFS),
		Tables:      vital.Files{Proc: os.DirFS("/proc"), NodeMounts: nodeMounts},
		KeepSerials: keepSerials,
	}
	if _, err := os.Stat("/run/udev/data"); err == nil {
		s.Records = os.DirFS("/run/udev/data")
	}
	r, err := recording.Record(s)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		return err
	}
	if file == "-" {
		_, err := cmd.OutOrStdout().Write(text.Bytes())
		return err
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return err
	}
	blanked := "Serial numbers and their like are blanked"
	if keepSerials {
		blanked = "Serial numbers are in it"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d devices recorded in %s. %s; check it before you give it to others.\n", len(r.Devices), file, blanked)
	return nil
}

// machine returns what the handler udev looks at: this machine, or a recorded
// one.
func (d *discoverFlags) machine(cmd *cobra.Command) (udev.Options, error) {
	if d.from == "" {
		return udev.Options{NodeMounts: nodeMounts}, nil
	}
	b, err := readInput(d.from, cmd.InOrStdin())
	if err != nil {
		return udev.Options{}, err
	}
	r, err := recording.Read(bytes.NewReader(b))
	if err != nil {
		return udev.Options{}, fmt.Errorf("%s: %w", inputName(d.from), err)
	}
	return udev.Recorded(r), nil
}

// help shows what a rule for a device can be made of.
func (d *discoverFlags) help(cmd *cobra.Command, device string) error {
	options, err := d.machine(cmd)
	if err != nil {
		return err
	}
	cmd.SilenceUsage = true
	m := rulehelp.Machine{Tree: options.Tree()}
	v := m.Tree.View()
	dev, err := m.Find(v, device)
	if errors.Is(err, rulehelp.ErrNoDevice) {
		return fmt.Errorf("%w; akri discover udev --rule 'KERNEL==\"*\"' lists what there is", err)
	}
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, "A rule is any of these, separated by commas; values may contain * and ?.")
	fmt.Fprintln(out)
	rulehelp.Describe(out, dev)
	fmt.Fprintln(out, "\nProposals, and how many devices of this machine each selects:")
	for _, s := range rulehelp.Suggest(dev) {
		r, err := rule.Parse(s.Rule)
		if err != nil {
			return fmt.Errorf("a proposed rule is wrong, which is a bug: %s: %w", s.Rule, err)
		}
		all, err := m.Select(v, r)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  # %s: %d\n  %s\n", s.Why, len(all), s.Rule)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/debugecho"
	"github.com/akri-go/akri/internal/handlers/udev"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// newDiscoverCommand makes "akri discover", which runs a discovery handler on
// this machine, without a cluster.
func newDiscoverCommand() *cobra.Command {
	var d discoverFlags
	var manifest string
	cmd := &cobra.Command{
		Use:   "discover [-f configuration.yaml [name]]",
		Short: "Show what a Configuration would find on this machine",
		Long: `Run a discovery handler on this machine and show which devices it finds.
It needs neither a cluster nor root, and changes nothing.

Say what to look for with one of the commands below, or with the manifest of a
Configuration: its discoveryHandler is then asked as the agent would ask it.`,
		Example: `  akri discover udev --rule 'KERNEL=="video[0-9]*"'
  akri discover udev --rule 'SUBSYSTEM=="block"' --watch
  akri discover -f configuration.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if manifest == "" {
				if len(args) > 0 {
					return usagef("there is no handler %q: choose udev or debugEcho, or name a Configuration with -f", args[0])
				}
				return cmd.Help()
			}
			h, req, err := fromManifest(manifest, cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			return d.run(cmd, h, req)
		},
	}
	d.register(cmd)
	cmd.Flags().StringVarP(&manifest, "filename", "f", "", "manifest of a Configuration (`file`, or - for standard input)")
	completeFlag(cmd, "filename", "yaml", "yml", "json")
	cmd.ValidArgsFunction = completeWith(func(_ context.Context, args []string) (names []string) {
		if manifest == "" || manifest == "-" || len(args) > 0 {
			return nil
		}
		b, err := readInput(manifest, nil)
		if err != nil {
			return nil
		}
		all, _ := configurations(b) // nothing to offer then
		for _, c := range all {
			names = append(names, c.Name)
		}
		return names
	})
	cmd.AddCommand(
		newDiscoverUdevCommand(),
		newDiscoverDebugEchoCommand(),
	)
	return cmd
}

func newDiscoverUdevCommand() *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			UdevRules      []string `json:"udevRules"`
			GroupRecursive bool     `json:"groupRecursive"`
			Permissions    string   `json:"permissions"`
		}
		file, resource string
		vfio           bool
	)
	cmd := &cobra.Command{
		Use:   "udev (--rule RULE)... | --details FILE",
		Short: "Show which devices udev rules select",
		Long: `Show which devices of this machine udev rules select, with the device nodes
that a container would get. A device is selected if one of the rules matches
it; a rule matches if all that it says holds.`,
		Example: `  akri discover udev --rule 'SUBSYSTEM=="video4linux", ATTRS{idVendor}=="046d"'
  akri discover udev --rule 'KERNEL=="ttyUSB*"' --rule 'KERNEL=="ttyACM*"' --watch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := discovery.Request{Properties: map[string][]byte{}}
			if resource != "" {
				req.Properties["devicePluginResourceName"] = []byte(resource)
			}
			if vfio {
				req.Properties["vfioPassthrough"] = []byte("true")
			}
			if file != "" {
				b, err := readInput(file, cmd.InOrStdin())
				if err != nil {
					return err
				}
				req.Details = string(b)
			} else {
				b, err := yaml.Marshal(details)
				if err != nil {
					return err
				}
				req.Details = string(b)
			}
			return d.run(cmd, newHandlers()["udev"], req)
		},
	}
	d.register(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&details.UdevRules, "rule", "r", nil, "udev `rule`; may be given several times")
	f.BoolVar(&details.GroupRecursive, "group-recursive", false, "make one device of those that lie on one branch of sysfs")
	f.StringVar(&details.Permissions, "permissions", "rwm", "what a container may do with the device nodes: r, w, m, rw, rm, wm or rwm")
	f.StringVar(&resource, "device-plugin-resource-name", "", "add bus addresses for this KubeVirt `resource`")
	f.BoolVar(&vfio, "vfio-passthrough", false, "add the nodes of the IOMMU group")
	f.StringVar(&file, "details", "", "take the discoveryDetails of a Configuration from this YAML `file` (- for standard input)")
	completeFlag(cmd, "details", "yaml", "yml")
	completeValues(cmd, "permissions", "r", "w", "m", "rw", "rm", "wm", "rwm")
	cmd.MarkFlagsOneRequired("rule", "details")
	for _, other := range []string{"rule", "group-recursive", "permissions"} {
		cmd.MarkFlagsMutuallyExclusive("details", other)
	}
	return cmd
}

func newDiscoverDebugEchoCommand() *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			Descriptions []string `json:"descriptions"`
		}
	)
	cmd := &cobra.Command{
		Use:     "debugEcho --description TEXT...",
		Short:   "Show the pretended devices of the handler debugEcho",
		Long:    "Show the pretended devices of the handler debugEcho: one for each description,\nunless " + debugecho.DefaultAvailabilityFile + " contains OFFLINE.",
		Example: "  akri discover debugEcho --description foo --description bar",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := yaml.Marshal(details)
			if err != nil {
				return err
			}
			return d.run(cmd, newHandlers()[debugecho.Name], discovery.Request{Details: string(b)})
		},
	}
	d.register(cmd)
	cmd.Flags().StringArrayVar(&details.Descriptions, "description", nil, "`text` of a device; may be given several times")
	cmd.MarkFlagsOneRequired("description")
	return cmd
}

// newHandlers makes the handlers that "akri discover" knows. They do nothing
// until they are asked.
func newHandlers() map[string]discovery.Handler {
	return map[string]discovery.Handler{
		"udev":         udev.New(udev.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}),
		debugecho.Name: debugecho.New(debugecho.Options{}),
	}
}

// discoverFlags are the flags that all discover commands have.
type discoverFlags struct {
	output string
	watch  bool
}

func (d *discoverFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&d.output, "output", "o", "table", "`format`: table, json or yaml")
	completeValues(cmd, "output", "table", "json", "yaml")
	cmd.Flags().BoolVarP(&d.watch, "watch", "w", false, "go on and show what comes and goes, until Ctrl-C")
}

// errEnough ends a discovery after its first report.
var errEnough = errors.New("enough")

// run asks the handler and shows what it reports.
func (d *discoverFlags) run(cmd *cobra.Command, h discovery.Handler, req discovery.Request) error {
	p, err := newPrinter(cmd.OutOrStdout(), d.output, sysfs.New(os.DirFS("/sys").(fs.ReadLinkFS), nil))
	if err != nil {
		return err
	}
	cmd.SilenceUsage = true // what is wrong from here on is not the flags
	if h.Name() == "udev" {
		printWarnings(cmd.ErrOrStderr(), req.Details)
	}
	ctx, first := cmd.Context(), true
	err = h.Discover(ctx, req, func(devices []discovery.Device) error {
		if !d.watch {
			if err := p.list(devices); err != nil {
				return err
			}
			return errEnough
		}
		err := p.changes(devices, first)
		first = false
		return err
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	var syntax *rule.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w\n  %s", err, strings.ReplaceAll(syntax.Excerpt(), "\n", "\n  "))
	}
	return err
}

// printWarnings says where rules mean something else than in upstream Akri.
func printWarnings(w io.Writer, details string) {
	d, err := udev.ParseDetails(details)
	if err != nil {
		return // Discover says so
	}
	for i, r := range d.Rules {
		for _, warning := range r.Warnings() {
			fmt.Fprintf(w, "Note on rule %d, column %d: %s\n", i+1, warning.Column, warning.Text)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/debugecho"
	"github.com/akri-go/akri/internal/handlers/udev"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
)

// newDiscoverCommand makes "akri discover", which runs a discovery handler on
// this machine, without a cluster.
func newDiscoverCommand() *cobra.Command {
	var (
		d                discoverFlags
		manifest, saveTo string
		keepSerials      bool
	)
	cmd := &cobra.Command{
		Use:   "discover (-f configuration.yaml [name] | --record FILE)",
		Short: "Show what a Configuration would find on this machine",
		Long: `Run a discovery handler on this machine and show which devices it finds.
It needs neither a cluster nor root, and changes nothing.

Say what to look for with one of the commands below, or with the manifest of a
Configuration: its discoveryHandler is then asked as the agent would ask it.

--record writes down which devices this machine has, with all that a rule can
see of them; --from asks of such a recording instead of this machine. Serial
numbers and their like are blanked, unless --keep-serials is given.`,
		Example: `  akri discover udev --rule 'SUBSYSTEM=="video4linux", ATTR{index}=="0"'
  akri discover udev --rule 'SUBSYSTEM=="block"' --watch
  akri discover udev --rule-help /dev/ttyUSB0
  akri discover -f configuration.yaml
  akri discover --record machine.txt
  akri discover -f configuration.yaml --from machine.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case saveTo != "":
				return record(cmd, saveTo, keepSerials)
			case manifest == "":
				if len(args) > 0 {
					return usagef("there is no handler %q: choose udev or debugEcho, or name a Configuration with -f", args[0])
				}
				if cmd.Flags().NFlag() > 0 {
					return usagef("say what to look for: a Configuration with -f, or udev rules with akri discover udev")
				}
				return cmd.Help()
			}
			req, handler, name, err := fromManifest(manifest, cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("configuration") {
				d.configuration = name
			}
			return d.run(cmd, handler, req)
		},
	}
	d.register(cmd, "")
	cmd.Flags().StringVarP(&manifest, "filename", "f", "", "manifest of a Configuration (`file`, or - for standard input)")
	cmd.Flags().StringVar(&saveTo, "record", "", "write this machine's devices to this `file` (- for standard output)")
	cmd.Flags().BoolVar(&keepSerials, "keep-serials", false, "do not blank serial numbers in what --record writes")
	cmd.MarkFlagsMutuallyExclusive("record", "filename")
	cmd.MarkFlagsMutuallyExclusive("record", "from")
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
			IdentifyBy     string   `json:"identifyBy"`
			Permissions    string   `json:"permissions"`
		}
		file, resource, device string
		vfio                   bool
	)
	cmd := &cobra.Command{
		Use:   "udev ((--rule RULE)... | --details FILE | --rule-help DEVICE)",
		Short: "Show which devices udev rules select",
		Long: `Show which devices of this machine udev rules select, with the device nodes
that a container would get. A device is selected if one of the rules matches
it; a rule matches if all that it says holds.

--rule-help shows from what a rule for one device can be written, and proposes
some.`,
		Example: `  akri discover udev --rule 'SUBSYSTEM=="video4linux", ATTRS{idVendor}=="046d"'
  akri discover udev --rule 'KERNEL=="ttyUSB*"' --rule 'KERNEL=="ttyACM*"' --watch
  akri discover udev --rule-help /dev/ttyUSB0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if device != "" {
				return d.help(cmd, device)
			}
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
			return d.run(cmd, "udev", req)
		},
	}
	d.register(cmd, "akri-udev")
	f := cmd.Flags()
	f.StringArrayVarP(&details.UdevRules, "rule", "r", nil, "udev `rule`; may be given several times")
	f.BoolVar(&details.GroupRecursive, "group-recursive", false, "make one device of those that lie on one branch of sysfs")
	f.StringVar(&details.IdentifyBy, "identify-by", string(udev.ByDevpath), "what a device is known by: path, serial or devpath")
	f.StringVar(&details.Permissions, "permissions", "rwm", "what a container may do with the device nodes: r, w, m, rw, rm, wm or rwm")
	f.StringVar(&resource, "device-plugin-resource-name", "", "add bus addresses for this KubeVirt `resource`")
	f.BoolVar(&vfio, "vfio-passthrough", false, "add the nodes of the IOMMU group")
	f.StringVar(&file, "details", "", "take the discoveryDetails of a Configuration from this YAML `file` (- for standard input)")
	f.StringVar(&device, "rule-help", "", "show from what a rule for this `device` can be written: a device node, or a folder in /sys")
	completeFlag(cmd, "details", "yaml", "yml")
	completeValues(cmd, "permissions", "r", "w", "m", "rw", "rm", "wm", "rwm")
	cmd.MarkFlagsOneRequired("rule", "details", "rule-help")
	for _, other := range []string{"rule", "group-recursive", "identify-by", "permissions", "rule-help"} {
		cmd.MarkFlagsMutuallyExclusive("details", other)
	}
	cmd.MarkFlagsMutuallyExclusive("rule", "rule-help")
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
			return d.run(cmd, debugecho.Name, discovery.Request{Details: string(b)})
		},
	}
	d.register(cmd, "akri-debug-echo")
	cmd.Flags().StringArrayVar(&details.Descriptions, "description", nil, "`text` of a device; may be given several times")
	cmd.MarkFlagsOneRequired("description")
	return cmd
}

// newHandlers makes the handlers that "akri discover" knows. They do nothing
// until they are asked.
func newHandlers(o udev.Options) map[string]discovery.Handler {
	return map[string]discovery.Handler{
		"udev":         udev.New(o),
		debugecho.Name: debugecho.New(debugecho.Options{}),
	}
}

// discoverFlags are the flags that all discover commands have.
type discoverFlags struct {
	output              string
	watch               bool
	allow               []string
	from                string
	configuration, node string
}

func (d *discoverFlags) register(cmd *cobra.Command, configuration string) {
	host, _ := os.Hostname()
	f := cmd.Flags()
	f.StringVarP(&d.output, "output", "o", "table", "`format`: table, json or yaml")
	completeValues(cmd, "output", "table", "json", "yaml")
	f.BoolVarP(&d.watch, "watch", "w", false, "go on and show what comes and goes, until Ctrl-C")
	f.StringSliceVar(&d.allow, "allow-node-devices", nil, "device nodes (`patterns`) to show although this machine lives on them")
	f.StringVar(&d.from, "from", "", "ask of the devices that --record has written to this `file` (- for standard input)")
	f.StringVar(&d.configuration, "configuration", configuration, "`name` of the Configuration, for the names of Instances")
	f.StringVar(&d.node, "node", host, "`name` of the node, for the names of Instances")
}

// udevOptions are those of the handler udev.
func (d *discoverFlags) udevOptions(cmd *cobra.Command) (udev.Options, error) {
	o, err := d.machine(cmd)
	if err == nil {
		o.Allow, err = udev.ParseAllow(d.allow)
	}
	o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})) // notes are shown
	return o, err
}

// errEnough ends a discovery after its first report.
var errEnough = errors.New("enough")

// run asks a handler and shows what it reports.
func (d *discoverFlags) run(cmd *cobra.Command, handler string, req discovery.Request) error {
	options, err := d.udevOptions(cmd)
	if err != nil {
		return err
	}
	p, err := newPrinter(cmd.OutOrStdout(), d.output, options.Tree())
	if err != nil {
		return usageError{err}
	}
	p.configuration, p.node = d.configuration, d.node
	h := newHandlers(options)[handler]
	if h == nil {
		return fmt.Errorf("this program does not have the discovery handler %q", handler)
	}
	p.shared = h.Shared()
	cmd.SilenceUsage = true // what is wrong from here on is not the flags
	if handler == "udev" {
		printWarnings(cmd.ErrOrStderr(), req.Details)
	}
	ctx, first, note := cmd.Context(), true, ""
	err = discovery.Ask(ctx, h, req, func(r discovery.Report) error {
		if r.Note != note && r.Note != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s\n", r.Note)
		}
		note = r.Note
		if first && handler == "udev" {
			noteBare(cmd.ErrOrStderr(), r.Devices)
		}
		if !d.watch {
			if err := p.list(r.Devices); err != nil {
				return err
			}
			return errEnough
		}
		err := p.changes(r.Devices, first)
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

// noteBare says which devices have nothing that a container could open.
func noteBare(w io.Writer, devices []discovery.Device) {
	bare := 0
	for _, d := range devices {
		if len(d.DeviceSpecs) == 0 {
			bare++
		}
	}
	if bare > 0 {
		fmt.Fprintf(w, "Note: %d of %d devices have no device node: containers get their properties, and nothing to open\n", bare, len(devices))
	}
}

// printWarnings says where rules will find nothing, or mean something else than
// in upstream Akri.
func printWarnings(w io.Writer, details string) {
	d, err := udev.ParseDetails(details)
	if err != nil {
		return // Discover says so
	}
	for i, r := range d.Rules {
		for _, warning := range append(r.Hints(), r.Warnings()...) {
			fmt.Fprintf(w, "Note on rule %d, column %d: %s\n", i+1, warning.Column, warning.Text)
		}
	}
}

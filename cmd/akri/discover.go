package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/all"
	echodetails "github.com/akri-go/akri/internal/handlers/debugecho/details"
	"github.com/akri-go/akri/internal/handlers/handlermetrics"
	mdnsdetails "github.com/akri-go/akri/internal/handlers/mdns/details"
	modbusdetails "github.com/akri-go/akri/internal/handlers/modbus/details"
	mqttdetails "github.com/akri-go/akri/internal/handlers/mqtt/details"
	onvifdetails "github.com/akri-go/akri/internal/handlers/onvif/details"
	opcuadetails "github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/setup"
	udevdetails "github.com/akri-go/akri/internal/handlers/udev/details"
	"github.com/akri-go/akri/internal/handlers/udev/rule"
	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
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

` + needs() + `
Say what to look for with one of the commands below, or with the manifest of a
Configuration, whose discoveryHandler then gets the agent's request.

--record writes which devices this machine has, with everything that a rule can
see of them; --from uses such a recording instead of this machine. Serial
numbers and the like are blanked, unless --keep-serials is given.`,
		Example: `  akri discover udev --rule 'SUBSYSTEM=="video4linux", ATTR{index}=="0"'
  akri discover udev --rule 'SUBSYSTEM=="block"' --watch
  akri discover udev --rule-help /dev/ttyUSB0
  akri discover onvif
  akri discover opcua --url opc.tcp://plc.example:4840
  akri discover modbus --server 10.0.0.5
  akri discover mqtt --broker mqtts://broker.example --credentials broker.yaml
  akri discover mdns --type _ipp._tcp
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
					return exitcode.Usagef("there is no handler %q: choose %s, or name a Configuration with -f", args[0], all.Names("or"))
				}
				if cmd.Flags().NFlag() > 0 {
					return exitcode.Usagef("say what to look for: a Configuration with -f, or udev rules with akri discover udev")
				}
				return cmd.Help()
			}
			given, err := d.properties(cmd)
			if err != nil {
				return err
			}
			req, kind, name, err := fromManifest(manifest, cmd.InOrStdin(), args, given)
			if err != nil {
				return err
			}
			if kind.Name != udevdetails.Name && d.from != "" {
				return exitcode.Usagef("only the handler %s can use a recording, not %s", udevdetails.Name, kind.Name)
			}
			if !cmd.Flags().Changed("configuration") {
				d.configuration = name
			}
			start := kind.Setup(flag.NewFlagSet(kind.Name, flag.ContinueOnError), os.Getenv)
			if kind.Name == udevdetails.Name {
				if start, err = d.startUdev(cmd); err != nil {
					return err
				}
			}
			switch kind.Name {
			case onvifdetails.Name:
				start = startOnvif
			case opcuadetails.Name:
				start = startOpcua
			case modbusdetails.Name:
				start = startModbus(d.watch)
			case mqttdetails.Name:
				start = startMQTT(defaultListen)
			case mdnsdetails.Name:
				start = startMdns
			}
			return d.run(cmd, kind, start, req)
		},
	}
	d.register(cmd, "")
	d.registerMachine(cmd)
	d.registerCredentials(cmd)
	cmd.Flags().StringVarP(&manifest, "filename", "f", "", "manifest of a Configuration (`file`, or - for standard input)")
	cmd.Flags().StringVar(&saveTo, "record", "", "write this machine's devices to this `file` (- for standard output)")
	cmd.Flags().BoolVar(&keepSerials, "keep-serials", false, "do not blank serial numbers in what --record writes")
	cmd.MarkFlagsMutuallyExclusive("record", "filename")
	cmd.MarkFlagsMutuallyExclusive("record", "from")
	cli.CompleteFlag(cmd, "filename", "yaml", "yml", "json")
	cmd.ValidArgsFunction = cli.CompleteWith(func(_ context.Context, args []string) (names []string) {
		if manifest == "" || manifest == "-" || len(args) > 0 {
			return nil
		}
		b, err := readInput(manifest, nil)
		if err != nil {
			return nil
		}
		found, _ := configurations(b) // nothing to offer then
		for _, c := range found {
			names = append(names, c.Name)
		}
		return names
	})
	for _, kind := range all.Kinds() {
		switch kind.Name {
		case udevdetails.Name:
			cmd.AddCommand(newDiscoverUdevCommand(kind))
		case echodetails.Name:
			cmd.AddCommand(newDiscoverDebugEchoCommand(kind))
		case onvifdetails.Name:
			cmd.AddCommand(newDiscoverOnvifCommand(kind))
		case opcuadetails.Name:
			cmd.AddCommand(newDiscoverOpcuaCommand(kind))
		case modbusdetails.Name:
			cmd.AddCommand(newDiscoverModbusCommand(kind))
		case mqttdetails.Name:
			cmd.AddCommand(newDiscoverMQTTCommand(kind))
		case mdnsdetails.Name:
			cmd.AddCommand(newDiscoverMdnsCommand(kind))
		default:
			cmd.AddCommand(newDiscoverDetailsCommand(kind))
		}
	}
	return cmd
}

// needs says what each handler finds, and what it needs for that.
func needs() string {
	var text strings.Builder
	for _, kind := range all.Kinds() {
		fmt.Fprintf(&text, "%s: %s.\n  %s\n", kind.Name, kind.Summary, strings.ReplaceAll(kind.About, "\n", "\n  "))
	}
	return text.String()
}

func newDiscoverDebugEchoCommand(kind all.Kind) *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			Descriptions []string `json:"descriptions"`
		}
	)
	own := flag.NewFlagSet(kind.Name, flag.ContinueOnError)
	start := kind.Setup(own, os.Getenv)
	cmd := &cobra.Command{
		Use:     kind.Name + " --description TEXT...",
		Short:   "Show " + kind.Summary,
		Long:    "Show the simulated devices of the handler debugEcho: one for each description.\n" + kind.About,
		Example: "  akri discover debugEcho --description foo --description bar",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := yaml.Marshal(details)
			if err != nil {
				return err
			}
			return d.run(cmd, kind, start, discovery.Request{Details: string(b)})
		},
	}
	d.register(cmd, "akri-debug-echo")
	cmd.Flags().AddGoFlagSet(own)
	cmd.Flags().StringArrayVar(&details.Descriptions, "description", nil, "`text` of a device; may be given several times")
	cmd.MarkFlagsOneRequired("description")
	return cmd
}

// newDiscoverDetailsCommand makes the command of a handler whose details come
// from a file alone.
func newDiscoverDetailsCommand(kind all.Kind) *cobra.Command {
	var (
		d    discoverFlags
		file string
	)
	own := flag.NewFlagSet(kind.Name, flag.ContinueOnError)
	start := kind.Setup(own, os.Getenv)
	cmd := &cobra.Command{
		Use:     kind.Name + " --details FILE",
		Short:   "Show " + kind.Summary,
		Long:    "Show " + kind.Summary + ".\n" + kind.About,
		Example: "  akri discover " + kind.Name + " --details details.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := readDetails(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			properties, err := d.properties(cmd)
			if err != nil {
				return err
			}
			return d.run(cmd, kind, start, discovery.Request{Details: string(b), Properties: properties})
		},
	}
	d.register(cmd, "akri-"+strings.ToLower(kind.Name))
	cmd.Flags().AddGoFlagSet(own)
	d.registerDetails(cmd, &file)
	d.registerCredentials(cmd)
	cmd.MarkFlagsOneRequired("details")
	return cmd
}

// discoverFlags are the flags that all discover commands have.
type discoverFlags struct {
	output              string
	watch               bool
	allow               []string
	from                string
	credentials         string
	configuration, node string

	tree *sysfs.Tree // of the devices that udev looks at; nil for other handlers
}

func (d *discoverFlags) register(cmd *cobra.Command, configuration string) {
	host, _ := os.Hostname()
	f := cmd.Flags()
	f.StringVarP(&d.output, "output", "o", "table", "`format`: table, json or yaml")
	cli.CompleteValues(cmd, "output", "table", "json", "yaml")
	f.BoolVarP(&d.watch, "watch", "w", false, "keep running and show what comes and goes, until Ctrl-C")
	f.StringVar(&d.configuration, "configuration", configuration, "`name` of the Configuration, for the names of Instances")
	f.StringVar(&d.node, "node", host, "`name` of the node, for the names of Instances")
}

// registerDetails adds the flag for a file with discoveryDetails.
func (d *discoverFlags) registerDetails(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "details", "", "take the discoveryDetails of a Configuration from this YAML `file` (- for standard input)")
	cli.CompleteFlag(cmd, "details", "yaml", "yml")
}

// registerCredentials adds the flag for a file with discoveryProperties.
func (d *discoverFlags) registerCredentials(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.credentials, "credentials", "",
		"take discoveryProperties, such as user names and passwords, from this YAML `file` of name: value (- for standard input)")
	cli.CompleteFlag(cmd, "credentials", "yaml", "yml")
}

// properties returns the discoveryProperties of that file, none if there is none.
func (d *discoverFlags) properties(cmd *cobra.Command) (map[string][]byte, error) {
	return readCredentials(d.credentials, cmd.InOrStdin())
}

// errEnough ends a discovery after its first report.
var errEnough = errors.New("enough")

// hint says what a person at a terminal can do about a report, beyond its note;
// "" if there is nothing to say. Given says that there are credentials.
func hint(handler string, given bool, r discovery.Report) string {
	switch {
	case !given && strings.Contains(r.Note, "in discoveryProperties"):
		return "give discoveryProperties in a YAML file: --credentials FILE"
	case len(r.Devices) > 0 || r.Note != "":
		return ""
	case handler == mqttdetails.Name:
		return "no device has announced itself on the broker: those that topics find must speak while this waits (--listen)"
	case handler == mdnsdetails.Name:
		return "nothing announces such a service here: is the type right, and is the device in this network? " +
			"avahi-browse --all shows what else there is"
	case handler == onvifdetails.Name:
		return "no camera has answered: is ONVIF switched on in it, and is it in this network? " +
			"Give the address of one behind a router (--address, or addresses in discoveryDetails)"
	}
	return ""
}

// run sends the request to the handler that start makes, and shows what it
// reports.
func (d *discoverFlags) run(cmd *cobra.Command, kind all.Kind, start setup.New, req discovery.Request) error {
	var metrics handlermetrics.Metrics // nobody reads them
	h, err := start(setup.Program{
		Log:       slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})), // notes are printed anyway
		Histogram: metrics.Histogram,
		Counter:   metrics.Counter,
	})
	if err != nil {
		return exitcode.AsUsage(err)
	}
	columns := columnsOf(kind.Kind)
	if d.tree != nil {
		columns = udevColumns(d.tree)
	}
	p, err := newPrinter(cmd.OutOrStdout(), d.output, columns)
	if err != nil {
		return exitcode.AsUsage(err)
	}
	p.configuration, p.node, p.shared = d.configuration, d.node, h.Shared()
	cmd.SilenceUsage = true // errors from here on are not about flags
	// The handler itself reports errors in the details.
	warnings, _ := kind.Check(req.Details)
	for _, w := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "Note on %s\n", w)
	}
	if kind.Name == modbusdetails.Name && !d.watch {
		noteModbusWait(cmd.ErrOrStderr(), req.Details)
	}
	ctx, first, note := cmd.Context(), true, ""
	err = discovery.Ask(ctx, h, req, func(r discovery.Report) error {
		if r.Note != note && r.Note != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s\n", r.Note)
		}
		if h := hint(kind.Name, d.credentials != "", r); first && h != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s\n", h)
		}
		note = r.Note
		if first && d.tree != nil {
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
	// What flags say is a wrong call. What a file says is not.
	f := cmd.Flags()
	if discovery.IsInvalid(err) && !f.Changed("details") && !f.Changed("filename") && !f.Changed("credentials") {
		err = exitcode.AsUsage(err)
	}
	var syntax *rule.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w\n  %s", err, strings.ReplaceAll(syntax.Excerpt(), "\n", "\n  "))
	}
	return err
}

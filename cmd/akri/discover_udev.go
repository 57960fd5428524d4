package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/setup"
	"github.com/akri-go/akri/internal/handlers/udev"
	udevdetails "github.com/akri-go/akri/internal/handlers/udev/details"
)

// newDiscoverUdevCommand makes the command of the handler udev, whose rules can
// be tried on the command line.
func newDiscoverUdevCommand(kind all.Kind) *cobra.Command {
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
		Use:   kind.Name + " ((--rule RULE)... | --details FILE | --rule-help DEVICE)",
		Short: "Show " + kind.Summary,
		Long: `Show which devices of this machine udev rules select, with the device nodes
that a container would get. A device is selected if one of the rules matches it;
a rule matches if all its conditions do.

--rule-help shows what a rule for one device can be made of, and proposes
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
				b, err := readDetails(file, cmd.InOrStdin())
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
			start, err := d.startUdev(cmd)
			if err != nil {
				return err
			}
			return d.run(cmd, kind, start, req)
		},
	}
	d.register(cmd, "akri-udev")
	d.registerMachine(cmd)
	d.registerDetails(cmd, &file)
	f := cmd.Flags()
	f.StringArrayVarP(&details.UdevRules, "rule", "r", nil, "udev `rule`; may be given several times")
	f.BoolVar(&details.GroupRecursive, "group-recursive", false, "combine devices on one branch of sysfs into one")
	f.StringVar(&details.IdentifyBy, "identify-by", string(udevdetails.ByDevpath), "what a device is known by: path, serial or devpath")
	f.StringVar(&details.Permissions, "permissions", "rwm", "what a container may do with the device nodes: r, w, m, rw, rm, wm or rwm")
	f.StringVar(&resource, "device-plugin-resource-name", "", "add bus addresses for this KubeVirt `resource`")
	f.BoolVar(&vfio, "vfio-passthrough", false, "add the nodes of the IOMMU group")
	f.StringVar(&device, "rule-help", "", "show what a rule for this `device` can be made of: a device node, or a folder in /sys")
	cli.CompleteValues(cmd, "permissions", "r", "w", "m", "rw", "rm", "wm", "rwm")
	cmd.MarkFlagsOneRequired("rule", "details", "rule-help")
	for _, other := range []string{"rule", "group-recursive", "identify-by", "permissions", "rule-help"} {
		cmd.MarkFlagsMutuallyExclusive("details", other)
	}
	cmd.MarkFlagsMutuallyExclusive("rule", "rule-help")
	return cmd
}

// registerMachine adds the flags about the machine that the handler udev looks at.
func (d *discoverFlags) registerMachine(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&d.allow, "allow-node-devices", nil, "device nodes (`patterns`) to show although this machine itself depends on them")
	f.StringVar(&d.from, "from", "", "use the devices that --record has written to this `file` (- for standard input)")
}

// startUdev returns what makes the handler udev for this machine or a recorded
// one.
func (d *discoverFlags) startUdev(cmd *cobra.Command) (setup.New, error) {
	o, err := d.machine(cmd)
	if err != nil {
		return nil, err
	}
	if o.Allow, err = udev.ParseAllow(d.allow); err != nil {
		return nil, exitcode.AsUsage(err)
	}
	d.tree = o.Tree()
	return func(p setup.Program) (discovery.Handler, error) {
		o.Log = p.Log
		return udev.New(o), nil
	}, nil
}

// noteBare says how many devices have nothing that a container could open.
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

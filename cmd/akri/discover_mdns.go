package main

import (
	"log/slog"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/mdns"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// newDiscoverMdnsCommand makes the command of the handler mdns, whose service
// types can be tried on the command line.
func newDiscoverMdnsCommand(kind all.Kind) *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			Types       []string `json:"types"`
			Interfaces  []string `json:"interfaces,omitempty"`
			Networks    []string `json:"networks,omitempty"`
			IdentityKey string   `json:"identityKey,omitempty"`
			Timeout     int      `json:"discoveryTimeoutSeconds"`
		}
		file string
	)
	cmd := &cobra.Command{
		Use:   kind.Name + " ((--type TYPE)... | --details FILE)",
		Short: "Show " + kind.Summary,
		Long: `Show the services of some types that are announced on the networks of this
machine. Nothing is connected to. avahi-browse --all shows all types that there
are; common ones are _ipp._tcp (printers), _http._tcp (web pages), _mqtt._tcp and
_googlecast._tcp.

` + kind.About,
		Example: `  akri discover mdns --type _ipp._tcp
  akri discover mdns --type _http._tcp --type _mqtt._tcp --interface eth1 --watch
  akri discover mdns --type _ipp._tcp --identity-key UUID -o yaml
  akri discover mdns --details details.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := yaml.Marshal(details)
			if file != "" {
				b, err = readDetails(file, cmd.InOrStdin())
			}
			if err != nil {
				return err
			}
			return d.run(cmd, kind, startMdns, discovery.Request{Details: string(b)})
		},
	}
	d.register(cmd, "akri-mdns")
	d.registerDetails(cmd, &file)
	f := cmd.Flags()
	f.StringArrayVar(&details.Types, "type", nil, "service `type`, such as _ipp._tcp; may be given several times")
	f.StringArrayVar(&details.Interfaces, "interface", nil,
		"`name` of a network interface, or a pattern; may be given several times")
	f.StringArrayVar(&details.Networks, "network", nil,
		"`CIDR` of another network in which devices may be; may be given several times")
	f.StringVar(&details.IdentityKey, "identity-key", "", "`key` of the TXT record by whose value a device is known")
	f.IntVar(&details.Timeout, "timeout", 2, "how many `seconds` to wait for answers")
	cmd.MarkFlagsOneRequired("type", "details")
	for _, other := range []string{"type", "interface", "network", "identity-key", "timeout"} {
		cmd.MarkFlagsMutuallyExclusive("details", other)
	}
	return cmd
}

// startMdns makes the handler mdns for a person: what it would log is in its notes
// too.
func startMdns(setup.Program) (discovery.Handler, error) {
	return mdns.New(mdns.Options{Log: slog.New(slog.DiscardHandler)}), nil
}

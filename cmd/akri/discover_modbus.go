package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/modbus"
	modbusdetails "github.com/akri-go/akri/internal/handlers/modbus/details"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// newDiscoverModbusCommand makes the command of the handler modbus, whose servers
// and units can be tried on the command line.
func newDiscoverModbusCommand(kind all.Kind) *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			Servers  []string `json:"servers"`
			Units    []string `json:"units,omitempty"`
			Identity string   `json:"identity,omitempty"`
			Timeout  string   `json:"timeout,omitempty"`
		}
		file string
	)
	cmd := &cobra.Command{
		Use:   kind.Name + " ((--server HOST)... [--unit ID]... | --details FILE)",
		Short: "Show " + kind.Summary,
		Long: `Show which Modbus TCP devices answer at some servers, and what they say of
themselves. A server is a device, or a gateway to devices that have unit ids.
Each unit is asked for its identification (Read Device Identification, 43/14)
or, if it has none, for holding register 0. Nothing is written.

` + kind.About + `

A network is looked at address by address, so it may have 256 at most. Asking
takes one connection of each server, and some PLCs have few. A unit that does
not answer takes --timeout; with many of them --watch shows what comes first.`,
		Example: `  akri discover modbus --server 10.0.0.5
  akri discover modbus --server gateway.example --unit 1-20
  akri discover modbus --server 10.0.1.0/26 --server plc.example:1502 --unit 1 --unit 255
  akri discover modbus --server 10.0.0.5 -o yaml
  akri discover modbus --server 10.0.0.5 --watch
  akri discover modbus --details details.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := discovery.Request{}
			b, err := yaml.Marshal(details)
			if file != "" {
				b, err = readDetails(file, cmd.InOrStdin())
			}
			if err != nil {
				return err
			}
			req.Details = string(b)
			return d.run(cmd, kind, startModbus(d.watch), req)
		},
	}
	d.register(cmd, "akri-modbus")
	d.registerDetails(cmd, &file)
	f := cmd.Flags()
	f.StringArrayVar(&details.Servers, "server", nil,
		"`host`, host:port or network of servers; may be given several times")
	f.StringArrayVar(&details.Units, "unit", nil,
		"unit `id` or range such as 1-20 to ask at each server; may be given several times (default 1)")
	f.StringVar(&details.Identity, "identity", "",
		"`what` a device is known by: address, userApplicationName, or the number of a private object from 128 to 255 "+
			"(default address)")
	f.StringVar(&details.Timeout, "timeout", "", "for how `long` each answer is waited for, such as 500ms (default 3s)")
	cli.CompleteValues(cmd, "identity", "address", "userApplicationName")
	cmd.MarkFlagsOneRequired("server", "details")
	for _, flag := range []string{"server", "unit", "identity", "timeout"} {
		cmd.MarkFlagsMutuallyExclusive(flag, "details")
	}
	return cmd
}

// manyUnits is how many units of a server make a person wait noticeably, if none
// answers.
const manyUnits = 5

// noteModbusWait says that the first report may take a while, if it may.
func noteModbusWait(to io.Writer, text string) {
	d, err := modbusdetails.Parse(text)
	if err != nil {
		return // the handler will say it
	}
	most := 0
	for _, s := range d.Servers {
		most = max(most, len(s.Units))
	}
	if most >= manyUnits {
		fmt.Fprintf(to, "Note: %d units of a server are asked one after the other, and one that does not answer takes %s. "+
			"--watch shows what is found meanwhile.\n", most, d.Timeout)
	}
}

// startModbus makes the handler modbus for a person, who wants to see at once what
// all servers say, or as it comes if the person watches. What the handler logs is
// in its notes too.
func startModbus(watch bool) setup.New {
	patience := 3 * time.Minute
	if watch {
		patience = 2 * time.Second
	}
	return func(setup.Program) (discovery.Handler, error) {
		return modbus.New(modbus.Options{Patience: patience, Log: slog.New(slog.DiscardHandler)}), nil
	}
}

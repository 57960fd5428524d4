// Command foreignhandler is a discovery handler for tests that does not use our
// SDK: it uses the generated code of the protocol, and behaves like handlers
// for upstream Akri. An empty first list is not sent, and after a stream was
// dropped it registers again.
//
// It reads commands from standard input, one per line, and reports on standard
// output what happens, one fact per line. See usage.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

const usage = `foreignhandler speaks Akri's discovery protocol for tests.

Commands on standard input; its end is ignored:
  add <id> [KEY=VALUE | node:<path> | mount:<path>]...   a device; ids may be quoted as in Go
  remove <id>          takes a device away
  clear                takes all away
  flood <n>            adds n devices, flood-0 ...
  send                 sends the list once more
  mute | unmute        requests are not answered from now on | answered again
  refuse <text>        requests are refused as invalid from now on; no text: no longer
  end                  ends all streams
  leave | return       stops listening, removes the socket | listens and registers again
  register             registers once more
  quit                 leaves and ends

Facts on standard output:
  listening <endpoint>, registered, refused <code> <text>, unregistered <text>,
  asked <details, quoted>, dropped; done <command> or error <text> per command

Flags:
`

func main() {
	var o options
	flag.StringVar(&o.directory, "directory", os.Getenv("DISCOVERY_HANDLERS_DIRECTORY"), "`folder` of the agent's socket")
	flag.StringVar(&o.name, "name", "foreign", "`name` to register")
	flag.StringVar(&o.socket, "socket", "", "`path` of the own socket; <folder>/<name>.sock if empty")
	flag.StringVar(&o.address, "address", "", "listen on this `host:port` instead of a socket")
	flag.StringVar(&o.endpoint, "endpoint", "", "register this `text` instead of where it listens")
	flag.BoolVar(&o.shared, "shared", false, "devices are shared")
	flag.DurationVar(&o.retryDelay, "retry", 0, "`pause` between attempts to register; 10s if 0, as upstream")
	devices := flag.String("devices", "", "`ids` to begin with, separated by commas")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	h := newHandler(o, os.Stdout)
	for id := range strings.SplitSeq(*devices, ",") {
		if id != "" {
			h.do("add " + id)
		}
	}
	err := run(ctx, h, os.Stdin)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "foreignhandler:", err)
		os.Exit(1)
	}
}

// run carries out commands until it is told to quit or ctx is done.
func run(ctx context.Context, h *handler, in io.Reader) error {
	if err := h.listen(); err != nil {
		return err
	}
	defer h.leave()
	lines := make(chan string)
	go func() {
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	var registering sync.WaitGroup
	defer registering.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	registering.Go(func() { h.keepRegistered(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-lines:
			if strings.TrimSpace(line) == "quit" {
				return nil
			}
			if err := h.do(line); err != nil {
				h.tell("error %v", err)
				continue
			}
			h.tell("done %.40s", line)
		}
	}
}

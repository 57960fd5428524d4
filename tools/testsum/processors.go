package main

import (
	"fmt"
	"io"

	"github.com/prometheus/procfs"
)

// processors is what the machine's processors did, in seconds of one of them. In a
// virtual machine the host may take time from them.
type processors struct {
	Busy  float64 `json:"busy"`
	Idle  float64 `json:"idle"`
	Taken float64 `json:"taken"`
}

// processorsNow is since the machine's start; nothing if /proc, which is at proc,
// does not say it.
func processorsNow(proc string) processors {
	machine, err := procfs.NewFS(proc)
	if err != nil {
		return processors{}
	}
	stat, err := machine.Stat()
	if err != nil {
		return processors{}
	}
	all := stat.CPUTotal
	return processors{
		Busy: all.User + all.Nice + all.System + all.IRQ + all.SoftIRQ,
		Idle: all.Idle + all.Iowait, Taken: all.Steal,
	}
}

func (p *processors) add(o processors) {
	p.Busy += o.Busy
	p.Idle += o.Idle
	p.Taken += o.Taken
}

// since is what was done since an earlier time.
func (p processors) since(o processors) processors {
	return processors{p.Busy - o.Busy, p.Idle - o.Idle, p.Taken - o.Taken}
}

func (p processors) print(out io.Writer) {
	if all := p.Busy + p.Idle + p.Taken; all > 0 {
		fmt.Fprintf(out, "processors while tests ran: %d %% busy, %d %% idle, %d %% taken by the machine's host\n",
			int(100*p.Busy/all), int(100*p.Idle/all), int(100*p.Taken/all))
	}
}

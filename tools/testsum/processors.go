package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// processors is what the machine's processors did, in ticks (proc_stat(5)). In a
// virtual machine the host may take time from them.
type processors struct {
	Busy  int64 `json:"busy"`
	Idle  int64 `json:"idle"`
	Taken int64 `json:"taken"`
}

// processorsNow is since the machine's start; nothing where there is no /proc.
func processorsNow() processors {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}
	}
	return parseProcessors(string(data))
}

// parseProcessors reads the first line: cpu user nice system idle iowait irq
// softirq steal guest guest_nice.
func parseProcessors(stat string) (p processors) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return processors{}
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return processors{}
		}
		switch i {
		case 3, 4:
			p.Idle += n
		case 7:
			p.Taken += n
		default:
			p.Busy += n
		}
	}
	return p
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
			100*p.Busy/all, 100*p.Idle/all, 100*p.Taken/all)
	}
}

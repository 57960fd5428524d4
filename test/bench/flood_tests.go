package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// floodFigure is a line of a test that floods a process of its own.
var floodFigure = regexp.MustCompile(`figure=(\S+) value=(\d+) unit=MiB`)

// measureFloodOfReports has 64 handlers report as much as they can to registry
// and inventory of an agent.
func measureFloodOfReports(ctx context.Context, b *bench) error {
	return b.measureByTest(ctx, "./internal/agent")
}

// measureFloodOfReviews has strangers hold as many connections to the webhook as
// they can, and send it costly reviews.
func measureFloodOfReviews(ctx context.Context, b *bench) error {
	return b.measureByTest(ctx, "./internal/admission/webhook")
}

// measureByTest runs TestFlood of a package and reports what it has measured.
func (b *bench) measureByTest(ctx context.Context, folder string) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run=^TestFlood$", folder).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	found := floodFigure.FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		return fmt.Errorf("TestFlood of %s has measured nothing:\n%s", folder, out)
	}
	for _, match := range found {
		mib, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return err
		}
		b.report(match[1], mib, "MiB", 0)
	}
	return nil
}

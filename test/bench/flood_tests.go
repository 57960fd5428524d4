package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// floodFigure matches a line of a test that floods its own process.
var floodFigure = regexp.MustCompile(`figure=(\S+) value=(\d+) unit=MiB`)

// measureFloodOfReports makes 64 handlers report as much as they can to an
// agent's registry and inventory.
func measureFloodOfReports(ctx context.Context, b *bench) error {
	return b.measureByTest(ctx, "./internal/agent")
}

// measureFloodOfReviews makes strangers hold as many connections to the webhook
// as they can, and send it costly reviews.
func measureFloodOfReviews(ctx context.Context, b *bench) error {
	return b.measureByTest(ctx, "./internal/admission/webhook")
}

// measureByTest runs TestFlood of a package and reports its measurement.
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

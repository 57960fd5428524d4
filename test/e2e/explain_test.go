//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/explain/snapshot"
	"github.com/akri-go/akri/test/testcluster"
)

// ask explains a subject as `akri explain` does.
func ask(ctx context.Context, s explain.Subject) (explain.Answer, error) {
	cfg, err := cluster.RESTConfig()
	if err != nil {
		return explain.Answer{}, err
	}
	reader, now, err := snapshot.Client(cfg)
	if err != nil {
		return explain.Answer{}, err
	}
	seen, err := snapshot.Read(ctx, reader, now, snapshot.Options{Pod: s})
	if err != nil {
		return explain.Answer{}, err
	}
	answer, err := explain.Of(seen, s)
	if err == nil && len(answer.Unseen) > 0 {
		err = fmt.Errorf("an administrator cannot see %+v", answer.Unseen)
	}
	return answer, err
}

// explained complains unless a subject is explained by a cause, with some words.
func explained(s explain.Subject, cause explain.Cause, words ...string) testcluster.Check {
	return func(ctx context.Context) error {
		answer, err := ask(ctx, s)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%+v", answer)
		if !slices.ContainsFunc(answer.Findings, func(f explain.Finding) bool { return f.Cause == cause }) {
			return fmt.Errorf("no %s in %s", cause, text)
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Errorf("no %q in %s", w, text)
			}
		}
		return nil
	}
}

// isWell complains unless nothing is wrong with a subject, and some words are
// said of it.
func isWell(s explain.Subject, words ...string) testcluster.Check {
	return func(ctx context.Context) error {
		answer, err := ask(ctx, s)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%+v", answer)
		for _, f := range answer.Findings {
			if f.Level != explain.Note {
				return fmt.Errorf("%s of %s in %s", f.Cause, f.Subject, text)
			}
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Errorf("no %q in %s", w, text)
			}
		}
		return nil
	}
}

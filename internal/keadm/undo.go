package keadm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/atomicfile"
)

// undoTimeout bounds the way back, which Ctrl-C does not end.
const undoTimeout = time.Minute

// undo takes back what was done, the last first.
type undo struct {
	steps []func(context.Context) error
}

func (u *undo) add(step func(context.Context) error) { u.steps = append(u.steps, step) }

// file notes how a file is before it is made or replaced, with the folders above
// that are not there yet.
func (u *undo) file(path string) error {
	for _, dir := range missing(filepath.Dir(path)) {
		u.add(func(context.Context) error { return gone(os.Remove(dir)) })
	}
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		u.add(func(context.Context) error { return gone(os.Remove(path)) })
		return nil
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	u.add(func(context.Context) error { return atomicfile.WriteDurable(path, old, info.Mode().Perm()) })
	return nil
}

// missing are the folders up to dir that are not there, the highest first.
func missing(dir string) []string {
	var out []string
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			slices.Reverse(out)
			return out
		}
		out = append(out, dir)
	}
}

// gone is the error of a removal; what is not there need not be removed.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// run takes everything back.
func (u *undo) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var errs []error
	for _, step := range slices.Backward(u.steps) {
		errs = append(errs, step(ctx))
	}
	u.steps = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not all of it could be taken back: %w", err)
	}
	return nil
}

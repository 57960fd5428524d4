// Package aptget runs Debian's apt-get on machines where others run it too, such
// as unattended upgrades on a machine that has just started.
package aptget

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/akri-go/akri/internal/poll"
)

const (
	lockPatience  = 5 * time.Minute
	retryInterval = 2 * time.Second
)

// locked matches what apt-get says if another program holds one of its locks. Its
// option DPkg::Lock::Timeout waits for that of dpkg, but not for those of the
// package lists and of the archives.
var locked = regexp.MustCompile(`E: (Could not get lock|Unable to lock|Unable to acquire the dpkg)`)

// Retry calls run, which runs apt-get, until no other program holds apt-get's
// locks, for at most five minutes. It calls waiting once if it has to wait. It
// returns what the last call of run did.
func Retry(ctx context.Context, waiting func(), run func() (said []byte, err error)) (said []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	told := false
	var runErr error
	err = poll.Until(ctx, "no other program holds apt-get's locks", retryInterval, func(context.Context) error {
		said, runErr = run()
		if runErr == nil || !locked.Match(said) {
			return nil
		}
		if !told {
			told = true
			waiting()
		}
		return errors.New("another program holds them")
	})
	if err != nil {
		return said, fmt.Errorf("%w; %w", runErr, err)
	}
	return said, runErr
}

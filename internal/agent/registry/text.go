package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/akri-go/akri/discovery/contract"
)

const maxReasons = 5 // of refused devices that a text names

// refusals are reasons why devices were left out.
type refusals struct {
	reasons []string
	more    int
}

func (r *refusals) add(reason string) {
	if len(r.reasons) == maxReasons {
		r.more++
		return
	}
	r.reasons = append(r.reasons, reason)
}

// err is nil if there is no reason.
func (r *refusals) err() error {
	if len(r.reasons) == 0 {
		return nil
	}
	text := strings.Join(r.reasons, "; ")
	if r.more > 0 {
		text += fmt.Sprintf("; and %d more", r.more)
	}
	return errors.New(text)
}

// noted adds a handler's note to why devices were left out here.
func noted(refused error, note string) error {
	switch {
	case note == "":
		return refused
	case refused == nil:
		return errors.New(contract.Words(note))
	}
	return fmt.Errorf("%w; %s", refused, contract.Words(note))
}

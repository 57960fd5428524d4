package trial

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/akri-go/akri/discovery/contract"
)

// judgeBad judges the answer to details that must be refused. Sure says that the
// handler's author named them; otherwise they are only unlikely to be good.
func judgeBad(what string, a answer, sure bool, waited time.Duration) Finding {
	did := "called Discover with " + what
	const change = "Check the details first. If they can never be answered, end the call with " +
		"INVALID_ARGUMENT and say what to write instead."
	bad := badDetails.fail
	if !sure {
		bad = badDetails.warn
	}
	switch {
	case a.lists > 0:
		return bad(did, "a list of "+plural(len(a.devices), "device", "devices"), change)
	case !a.ended:
		return bad(did, fmt.Sprintf("nothing within %s", took(waited)), change)
	case a.code == codes.OK:
		return bad(did, "the call ended without an error", change)
	case a.code != codes.InvalidArgument:
		return bad(did, ending(a),
			"Use the status INVALID_ARGUMENT. After any other the agent asks again and again, and the "+
				"handler does it each time.")
	case strings.TrimSpace(a.said) == "":
		return badDetails.warn(did, ending(a),
			"Send a text with the status: it is all that the author of the Configuration sees.")
	case len(a.said) > contract.MaxWordsBytes:
		return badDetails.warn(did, fmt.Sprintf("a text of %d bytes: %s", len(a.said), ending(a)),
			fmt.Sprintf("Say it in %d bytes: the author of the Configuration sees no more.", contract.MaxWordsBytes))
	}
	return badDetails.pass(did, ending(a))
}

// judgeNothing judges the answer to details that find nothing.
func judgeNothing(a answer, waited time.Duration) Finding {
	const did = "called Discover with details that find nothing"
	switch {
	case a.lists > 0 && len(a.devices) == 0:
		return nothingFound.pass(did, "an empty list after "+took(a.first))
	case a.lists > 0:
		return nothingFound.fail(did, "it found "+named(ids(a.devices)),
			"Give details that find nothing, or mind the details.")
	case a.ended:
		return nothingFound.fail(did, "the call ended: "+ending(a), "Nothing found is an empty list, not an end.")
	}
	return nothingFound.warn(did, fmt.Sprintf("nothing within %s", took(waited)),
		"Send the empty list. Handlers of upstream Akri do not: the Configuration's status then says that "+
			"the handler has not answered.")
}

// judgeAtOnce judges calls that were open at once: alone is what each said when it
// was the only one of its details.
func judgeAtOnce(alone, together []answer, waited time.Duration) Finding {
	did := fmt.Sprintf("had %d more calls open at once", len(together))
	silent := 0
	var wrong []string
	for i, a := range together {
		switch {
		case a.ended:
			wrong = append(wrong, "a call ended with "+ending(a))
		case a.lists == 0 && alone[i].lists > 0:
			silent++
		case a.lists > 0 && alone[i].lists > 0 && !maps.Equal(ids(a.devices), ids(alone[i].devices)):
			wrong = append(wrong, fmt.Sprintf("%s, and alone %s", orNone(ids(a.devices)),
				orNone(ids(alone[i].devices))))
		}
	}
	switch {
	case silent > 0:
		return atOnce.fail(did, fmt.Sprintf("%d of them were not answered within %s", silent, took(waited)),
			"Answer calls side by side. Servers with a pool of threads need one for each Configuration: make "+
				"the pool large, or answer without blocking.")
	case len(wrong) > 0:
		slices.Sort(wrong)
		return atOnce.fail(did, few(slices.Compact(wrong)),
			"Keep what belongs to a call with the call, not in the handler.")
	}
	return atOnce.pass(did, "each got its own list")
}

// judgeChange judges the open calls after a change. Want is what they must list,
// nil if that is not known; fresh is the list of a call made afterwards.
func judgeChange(what string, want map[string]bool, open []answer, fresh answer, changed bool,
	waited time.Duration) Finding {
	const change = "Send the complete new list to every open call. Watch first and look then, so that " +
		"nothing in between is missed."
	if want == nil {
		want = ids(fresh.devices)
	}
	for _, a := range append(slices.Clone(open), fresh) {
		got := ids(a.devices)
		if maps.Equal(got, want) {
			continue
		}
		missing, extra := without(want, got), without(got, want)
		return changes.fail(what, fmt.Sprintf("after %s a call lists %s too few and %s too many", took(waited),
			orNone(missing), orNone(extra)), change)
	}
	if !changed {
		return changes.warn(what, fmt.Sprintf("no list differed from the one before within %s", took(waited)),
			"Does the command change what the details find? If so, the handler has missed it.")
	}
	return changes.pass(what, fmt.Sprintf("every open call lists %s", plural(len(want), "device", "devices")))
}

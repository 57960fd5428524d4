package trial

import (
	"fmt"
	"maps"
	"path"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/discovery/hostpath"
)

// judgeFirst judges how a call began. Known says that there are devices to find.
func judgeFirst(a answer, known bool, waited time.Duration) Finding {
	const did = "called Discover with the details"
	switch {
	case a.refused != "":
		return firstList.fail(did, a.refused, "Send less: the agent ignores such a list as a whole.")
	case a.lists > 0:
		return firstList.pass(did, fmt.Sprintf("%s after %s", plural(len(a.devices), "device", "devices"),
			took(a.first)))
	case tooLarge(a):
		return firstList.fail(did, "a message that is larger than the agent takes: "+contract.Words(a.said),
			"Send less: a message has 4 MiB at most. Put what is long elsewhere, and a reference to it into "+
				"a property.")
	case a.ended && a.code == codes.InvalidArgument:
		return firstList.fail(did, "it refused the details: "+contract.Words(a.said),
			"Give details that find devices, or correct what the handler takes them for.")
	case a.ended && a.code == codes.Unimplemented:
		return firstList.fail(did, "it does not have the method: "+contract.Words(a.said),
			"Serve v0.DiscoveryHandler/Discover, as in discovery.proto: the package must be v0.")
	case a.ended:
		return firstList.fail(did, "the call ended: "+ending(a),
			"Answer, and go on until the caller ends the call.")
	case known:
		return firstList.fail(did, fmt.Sprintf("nothing within %s", took(waited)),
			"Send the list of the devices that are there.")
	}
	return firstList.warn(did, fmt.Sprintf("nothing within %s", took(waited)),
		"Send the list even if it is empty. Handlers of upstream Akri do not, and the agent then says that "+
			"it waits for an answer.")
}

// tooLarge tells whether a call ended because a message was too large.
func tooLarge(a answer) bool {
	return a.ended && a.code == codes.ResourceExhausted && strings.Contains(a.said, "larger than max")
}

// ending shows how a call ended.
func ending(a answer) string {
	if a.said == "" {
		return a.code.String() + " without a text"
	}
	return fmt.Sprintf("%v, %q", a.code, contract.Words(a.said))
}

// judgeDevices judges a list as the agent does, on the machine of the trial.
func judgeDevices(list []discovery.Device, limits contract.Limits, root string) Finding {
	did := "looked at " + plural(len(list), "device", "devices")
	if len(list) == 0 {
		return devices.skip("no device was found: give details that find some")
	}
	var bad, warned []string
	for _, d := range list {
		need, err := checkDevice(d, limits, root)
		if err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", contract.Show(d.ID), err))
		}
		if need != "" {
			warned = append(warned, fmt.Sprintf("%s: %s", contract.Show(d.ID), need))
		}
	}
	switch {
	case len(bad) > 0:
		return devices.fail(did, few(bad),
			"The agent leaves such a device out, and says so in the Configuration's status. "+
				"docs/write-a-handler.md has the rules.")
	case len(warned) > 0:
		return devices.warn(did, few(warned),
			"Say in the handler's documentation what the operator must allow: by default the agent leaves "+
				"such a device out.")
	}
	return devices.pass(did, "all are as an agent takes them")
}

// checkDevice returns what is wrong with a device wherever it runs, or else what
// an operator must allow for it.
func checkDevice(d discovery.Device, limits contract.Limits, root string) (need string, err error) {
	var mounts []string
	folders := hostpath.DefaultDevices()
	for _, m := range d.Mounts[:min(len(d.Mounts), limits.Mounts)] {
		mounts = append(mounts, m.HostPath)
	}
	for _, n := range d.DeviceSpecs[:min(len(d.DeviceSpecs), limits.DeviceSpecs)] {
		folders = append(folders, path.Dir(n.HostPath))
	}
	defaults, err := hostpath.New(hostpath.Options{Root: root})
	if err != nil {
		return "", err
	}
	generous := defaults
	if lenient, err := hostpath.New(hostpath.Options{Devices: folders, Mounts: mounts, Root: root}); err == nil {
		generous = lenient
	} // else a path that can never be allowed
	if err := (contract.Rules{Limits: limits, Paths: generous}).Check(&d); err != nil {
		return "", err
	}
	if _, err := defaults.Check(d); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

// few joins some of the texts.
func few(texts []string) string {
	more := ""
	if n := len(texts) - maxNamed; n > 0 {
		texts, more = texts[:maxNamed], fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(texts, "; ") + more
}

// judgeOnce judges whether lists have each id once.
func judgeOnce(a answer) Finding {
	const did = "looked for ids that a list has more than once"
	if len(a.twice) > 0 {
		return listedOnce.fail(did, named(a.twice),
			"Give each device an id of its own. The agent takes the first and leaves the others out.")
	}
	if len(a.devices) == 0 {
		return listedOnce.skip("no device was found")
	}
	return listedOnce.pass(did, plural(len(a.devices), "id", "ids"))
}

// judgeSame judges the lists of two calls with the same details. They were made
// one after the other, and both had time to agree.
func judgeSame(one, two []discovery.Device) Finding {
	const did = "called Discover again with the same details"
	a, b := ids(one), ids(two)
	onlyA, onlyB := without(a, b), without(b, a)
	common := len(a) - len(onlyA)
	switch {
	case len(a) == 0 && len(b) == 0:
		return sameIDs.skip("no device was found")
	case common == 0 && len(a) > 0 && len(b) > 0:
		return sameIDs.fail(did, fmt.Sprintf("%s, and before %s", named(b), named(a)),
			"Make the id of what identifies the device: a serial number, a MAC address, a UUID. Not a "+
				"counter, a time or a random number.")
	case len(onlyA) > 0 || len(onlyB) > 0:
		return sameIDs.fail(did, fmt.Sprintf("the two calls do not agree: %s only in the first, %s only in "+
			"the second", orNone(onlyA), orNone(onlyB)),
			"Send every open call the complete list whenever it changes.")
	case !discovery.Same(one, two):
		return sameIDs.warn(did, "the same ids, but other properties, mounts or device nodes: "+differing(one, two),
			"Leave out of the properties what differs from call to call: each difference is written to the "+
				"API server.")
	}
	return sameIDs.pass(did, "the same "+plural(len(a), "device", "devices"))
}

func orNone(set map[string]bool) string {
	if len(set) == 0 {
		return "none"
	}
	return named(set)
}

func without(a, b map[string]bool) map[string]bool {
	rest := map[string]bool{}
	for id := range a {
		if !b[id] {
			rest[id] = true
		}
	}
	return rest
}

// differing names devices that two lists with the same ids describe differently.
func differing(one, two []discovery.Device) string {
	set := map[string]bool{}
	byID := make(map[string]discovery.Device, len(one))
	for _, d := range one {
		byID[d.ID] = d
	}
	for _, d := range two {
		if !discovery.Same([]discovery.Device{byID[d.ID]}, []discovery.Device{d}) {
			set[d.ID] = true
		}
	}
	return named(set)
}

// judgeWhole judges answers to the same details during which nothing was changed
// on purpose. A device may go while one is watched. If devices go in all of
// them, the lists are not whole.
func judgeWhole(answers []answer) Finding {
	did := fmt.Sprintf("watched %d calls with the same details", len(answers))
	lost := map[string]bool{}
	losing, lists := 0, 0
	for _, a := range answers {
		lists += a.lists
		if len(a.lost) > 0 {
			losing++
		}
		maps.Copy(lost, a.lost)
	}
	switch {
	case lists == 0:
		return wholeLists.skip("no list came")
	case len(answers) >= 3 && losing == len(answers):
		return wholeLists.fail(did,
			fmt.Sprintf("in each of them devices that one list had were missing in the next: %s", named(lost)),
			"Send all devices in each response, not the new ones or a part: the agent takes those that are "+
				"missing for gone.")
	case losing > 0:
		return wholeLists.warn(did, fmt.Sprintf("devices went in %d of them: %s", losing, named(lost)),
			"If nothing was unplugged, send all devices in each response, and keep a device that was missed once.")
	}
	return wholeLists.pass(did, fmt.Sprintf("%s; no device was dropped", plural(lists, "list", "lists")))
}

// judgeOpen judges whether answers went on until the caller ended them.
func judgeOpen(answers []answer, watched time.Duration) Finding {
	did := "watched open calls"
	if watched > 0 {
		did += ", one of them for " + took(watched)
	}
	same, lists := 0, 0
	for _, a := range answers {
		same, lists = same+a.same, lists+a.lists
		switch {
		case a.flood:
			return staysOpen.fail(did, fmt.Sprintf("more than %d lists for one call", maxLists),
				"Send a list only if it has changed.")
		case tooLarge(a):
			return staysOpen.fail(did, "a message that is larger than the agent takes: "+contract.Words(a.said),
				"Send less: a message has 4 MiB at most.")
		case a.refused != "":
			return staysOpen.fail(did, a.refused, "Send less: the agent ignores such a list as a whole.")
		case a.ended && a.code == codes.OK:
			return staysOpen.fail(did, "the handler ended a call after "+plural(a.lists, "list", "lists"),
				"Do not return from Discover: wait for changes until the caller ends the call. To the agent "+
					"an end is a handler that went away.")
		case a.ended:
			return staysOpen.fail(did, "a call ended with "+ending(a),
				"Find out why: the agent asks again, and its devices are uncertain meanwhile.")
		}
	}
	if same > 0 {
		return staysOpen.warn(did, fmt.Sprintf("%d of %s had the devices of the one before", same, plural(lists,
			"list", "lists")),
			"Compare with the list that was sent last, and send only what differs.")
	}
	return staysOpen.pass(did, "all are open")
}

// judgeDeparted judges what lists say of devices that have departed. Changed says
// that devices came and went on purpose.
func judgeDeparted(answers []answer, changed bool, limits contract.Limits) Finding {
	const did = "looked for devices that have departed"
	departed, both, back := map[string]bool{}, map[string]bool{}, map[string]bool{}
	useless := 0
	for _, a := range answers {
		maps.Copy(departed, a.departed)
		maps.Copy(both, a.both)
		maps.Copy(back, a.back)
		useless = max(useless, a.useless)
	}
	switch {
	case len(both) > 0:
		return departures.fail(did, "a list has devices and says that they have departed: "+named(both),
			"Say of a device either that it is there or that it has departed. To the agent it is there.")
	case useless > 0:
		return departures.warn(did, fmt.Sprintf("%d ids of one list are none, or are too many", useless),
			fmt.Sprintf("An id has 1 to %d bytes, and a list %d of them at most. The agent does not look at the rest.",
				limits.IDBytes, limits.Devices))
	case len(back) > 0 && !changed:
		return departures.warn(did, "they have departed, and a later list has them: "+named(back),
			"Say so only of a device that has said itself that it goes, and is silent since: its brokers are "+
				"stopped. Of one that was only missed say nothing.")
	case len(departed) == 0:
		return departures.pass(did, "of no device it has said so")
	}
	return departures.pass(did, plural(len(departed), "device", "devices"))
}

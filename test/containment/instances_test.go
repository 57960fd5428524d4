//go:build integration

package containment

import (
	"fmt"
	"strings"
	"testing"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/publish"
)

// new1 is an Instance that the agent of node-a may create; %s are its name, its
// labels, what else is in metadata, and what else is in spec.
const newInstance = `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"%s",` + owner + `,"labels":{%s}%s},
	"spec":{"configurationName":"cam","cdiName":"akri.sh/cam=0000aa","capacity":4,%s}}`

const (
	localLabels  = `"akri.sh/configuration":"cam","akri.sh/node":"node-a"`
	sharedLabels = `"akri.sh/configuration":"cam","akri.sh/shared":"true"`
)

func create(name, labels, meta, spec string) string {
	return fmt.Sprintf(newInstance, name, labels, meta, spec)
}

// whole is a full apply by the agent of node-a, %s being name and the rest of
// spec.
const whole = `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"%s",` + owner + `,
	"labels":{` + sharedLabels + `},"annotations":{"akri.sh/device-id":"camera"}},
	"spec":{"configurationName":"cam","cdiName":"akri.sh/cam=%s","shared":true,"nodes":["node-a"],%s}}`

func facts(name, rest string) string { return fmt.Sprintf(whole, name, name[4:], rest) }

// What the policies say.
const (
	sayNode       = "does not say on which node it runs"
	sayCreate     = "an agent makes Instances of its own node only"
	sayName       = "an Instance is called <configuration>-<six digits of a hash>"
	sayOneOwner   = "the one owner of an Instance is the Configuration"
	sayLabels     = "an Instance has the labels akri.sh/configuration"
	sayNodes      = "an agent adds to spec.nodes, at the end and only of shared devices"
	sayDevice     = "an Instance stays of one device"
	sayLeader     = "only the agent of the first node in spec.nodes changes capacity and brokerProperties"
	sayFree       = "an agent frees only the slots that its own node holds"
	sayClaim      = "an agent claims slots for its own node only"
	sayFinalizer  = "of finalizers an agent only removes"
	sayOwner      = "the owner that an agent sets is the Configuration"
	sayLabel      = "of labels an agent sets"
	sayAnnotation = "of annotations an agent sets akri.sh/device-id"
	sayDelete     = "an agent deletes an Instance only when no other node is in spec.nodes"
	sayRecord     = "an agent deletes the Instance of a shared device only when no other node holds a slot"
	sayOurs       = "an agent's managedFields speak of fields that the Instance has"
	sayOthers     = "an agent does not write managedFields of others"
	sayStatus     = "of a status an agent writes only its own node's entry"
)

func testOwnInstances(t *testing.T, w *fixture) {
	const one, three, four, five, six = instances + "cam-000001", instances + "cam-000003", instances + "cam-000004", instances + "cam-000005", instances + "cam-000006"
	w.try(t, w.agent(t, "node-a"), []request{
		{name: "create a local one", verb: "POST", path: instances, kind: post, body: create("cam-0000aa", localLabels, ``, `"nodes":["node-a"]`)},
		{name: "create a shared one by apply", verb: "PATCH", path: instances + "cam-0000aa", kind: apply,
			body: create("cam-0000aa", sharedLabels, `,"annotations":{"akri.sh/device-id":"x"}`, `"shared":true,"nodes":["node-a"]`)},
		{name: "join at the end", verb: "PATCH", path: three, kind: apply, body: facts("cam-000003", `"capacity":4,"brokerProperties":{"K":"1"}`)},
		{name: "lead", verb: "PATCH", path: one, kind: apply, force: true, body: facts("cam-000001", `"capacity":7,"brokerProperties":{"K":"9","M":"1"}`)},
		{name: "lead: take a property away", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"remove","path":"/spec/brokerProperties/L"}]`},
		{name: "leave", verb: "PATCH", path: five, kind: jsonp, body: `[{"op":"remove","path":"/spec/nodes/1"}]`},
		{name: "leave as the leader, with what nobody else repeats", verb: "PATCH", path: one, kind: merge,
			body: `{"metadata":{"labels":{"akri.sh/shared":null},"annotations":{"akri.sh/device-id":null}},
				"spec":{"nodes":["node-b"],"brokerProperties":{"L":null}}}`},
		{name: "claim", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"add","path":"/spec/deviceUsage/cam-000001-2","value":"node-a"}]`},
		{name: "claim what upstream says is free", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"replace","path":"/spec/deviceUsage/cam-000001-2","value":"C:cam-000001-2:node-a"}]`},
		{name: "claim through the other door", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"replace","path":"/spec/deviceUsage/cam-000001-1","value":"C:cam-000001-1:node-a"}]`},
		{name: "free", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"remove","path":"/spec/deviceUsage/cam-000001-1"}]`},
		{name: "say what a container has of a shared device that it no longer sees", verb: "PATCH", path: three, kind: jsonp, body: `[{"op":"add","path":"/spec/deviceUsage/cam-000003-1","value":"node-a"}]`},
		{name: "free what was taken before it left", verb: "PATCH", path: three, kind: jsonp, body: `[{"op":"remove","path":"/spec/deviceUsage/cam-000003-0"}]`},
		{name: "remove upstream's empty slot", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"remove","path":"/spec/deviceUsage/cam-000001-2"}]`},
		{name: "remove its own finalizer", verb: "PATCH", path: four, kind: jsonp, body: `[{"op":"remove","path":"/metadata/finalizers/0"}]`},
		{name: "take over upstream's Instance", verb: "PATCH", path: four, kind: apply, body: facts("cam-000004", `"capacity":4`)},
		{name: "put labels right", verb: "PATCH", path: four, kind: merge, body: `{"spec":{"nodes":["node-b","node-a"]},"metadata":{"labels":{` + sharedLabels + `}}}`},
		{name: "say that the device is away", verb: "PATCH", path: one + "/status", kind: apply,
			body: `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"cam-000001"},"status":{"nodes":[{"name":"node-a","state":"Offline"}]}}`},
		{name: "delete its own", verb: "DELETE", path: six},
	})

	// Names that are too long for a label and for an Event.
	long := strings.Repeat("long.", 30) + "node"
	w.try(t, w.agent(t, long), []request{
		{name: "long name", verb: "POST", path: instances, kind: post, manager: publish.FactsManager(long),
			body: create("cam-0000aa", `"akri.sh/configuration":"cam","akri.sh/node":"`+v0.NodeLabel(long)+`"`, ``, `"nodes":["`+long+`"]`)},
		{name: "long name, another's manager", verb: "POST", path: instances, kind: post, manager: publish.FactsManager("x" + long), want: sayOthers,
			body: create("cam-0000aa", `"akri.sh/configuration":"cam","akri.sh/node":"`+v0.NodeLabel(long)+`"`, ``, `"nodes":["`+long+`"]`)},
		{name: "long name, other label", verb: "POST", path: instances, kind: post, manager: publish.FactsManager(long), want: sayLabels,
			body: create("cam-0000aa", `"akri.sh/configuration":"cam","akri.sh/node":"`+v0.NodeLabel("other."+long)+`"`, ``, `"nodes":["`+long+`"]`)},
		{name: "long name, Event", verb: "POST", path: events, kind: post, body: event("akri.sh/agent", long[:125]+"…", "akri.sh/v0")},
		{name: "long name, another's Event", verb: "POST", path: events, kind: post, body: event("akri.sh/agent", "x"+long[:124]+"…", "akri.sh/v0"), want: sayEvent},
	})

	// No policy may run out of budget where an Instance is as large as it can be.
	usage := make([]string, 9_999)
	for i := range usage {
		usage[i] = fmt.Sprintf(`"cam-000006-%d":"C:cam-000006-%d:node-a"`, i, i)
	}
	w.must(t, request{verb: "PATCH", path: six, kind: merge, body: `{"spec":{"capacity":10000,"deviceUsage":{` + strings.Join(usage, ",") + `}}}`})
	w.try(t, w.agent(t, "node-a"), []request{
		{name: "claim the last of 10,000 slots", verb: "PATCH", path: six, kind: jsonp, body: `[{"op":"add","path":"/spec/deviceUsage/cam-000006-9999","value":"node-a"}]`},
		{name: "free 9,999 slots", verb: "PATCH", path: six, kind: jsonp, body: `[{"op":"replace","path":"/spec/deviceUsage","value":{}}]`},
		{name: "claim one more", verb: "PATCH", path: six, kind: jsonp, want: sayClaim, body: `[{"op":"add","path":"/spec/deviceUsage/cam-000006-10000","value":"node-a"}]`},
	})
}

func testOthersInstances(t *testing.T, w *fixture) {
	const one, two, three, four, five, six = instances + "cam-000001", instances + "cam-000002", instances + "cam-000003", instances + "cam-000004", instances + "cam-000005", instances + "cam-000006"
	post1 := func(name, labels, meta, spec, want string) request {
		return request{name: "create " + name, verb: "POST", path: instances, kind: post, body: create("cam-0000aa", labels, meta, spec), want: want}
	}
	change := func(name, path, body, want string) request {
		return request{name: name, verb: "PATCH", path: path, kind: jsonp, body: body, want: want}
	}
	slot := func(name, path, op, slot, value, want string) request {
		body := `[{"op":"` + op + `","path":"/spec/deviceUsage/` + slot + `","value":"` + value + `"}]`
		return change(name, path, body, want)
	}
	agent := w.agent(t, "node-a")
	w.try(t, agent, []request{
		post1("for another node", `"akri.sh/configuration":"cam","akri.sh/node":"node-b"`, ``, `"nodes":["node-b"]`, sayCreate),
		post1("for itself and another", sharedLabels, ``, `"shared":true,"nodes":["node-a","node-b"]`, sayCreate),
		post1("for no node", localLabels, ``, `"nodes":[]`, sayCreate),
		post1("by another's label", `"akri.sh/configuration":"cam","akri.sh/node":"node-b"`, ``, `"nodes":["node-a"]`, sayLabels),
		post1("as shared by its label alone", localLabels+`,"akri.sh/shared":"true"`, ``, `"nodes":["node-a"]`, sayLabels),
		post1("without labels", ``, ``, `"nodes":["node-a"]`, sayLabels),
		post1("with a finalizer", localLabels, `,"finalizers":["example.org/hold"]`, `"nodes":["node-a"]`, "an agent sets no finalizers"),
		post1("with claims", localLabels, ``, `"nodes":["node-a"],"deviceUsage":{"cam-0000aa-0":"node-a"}`, "an agent claims slots of an Instance that exists"),
		{name: "create under another name", verb: "POST", path: instances, kind: post, body: create("mic-0000aa", localLabels, ``, `"nodes":["node-a"]`), want: sayName},
		{name: "create under the name of a resource", verb: "POST", path: instances, kind: post, body: create("cam", localLabels, ``, `"nodes":["node-a"]`), want: sayName},
		{name: "create without an owner", verb: "POST", path: instances, kind: post, want: sayOneOwner,
			body: strings.Replace(create("cam-0000aa", localLabels, ``, `"nodes":["node-a"]`), owner, `"generation":1`, 1)},
		{name: "create with another owner", verb: "POST", path: instances, kind: post, want: sayOneOwner,
			body: strings.Replace(create("cam-0000aa", localLabels, ``, `"nodes":["node-a"]`), `"name":"cam","uid"`, `"name":"mic","uid"`, 1)},
		{name: "create for another node by apply", verb: "PATCH", path: instances + "cam-0000aa", kind: apply, want: sayCreate,
			body: create("cam-0000aa", localLabels, ``, `"nodes":["node-b"]`)},

		change("add another node", one, `[{"op":"add","path":"/spec/nodes/-","value":"node-c"}]`, sayNodes),
		change("remove another node", one, `[{"op":"remove","path":"/spec/nodes/1"}]`, sayNodes),
		change("leave for another node", one, `[{"op":"replace","path":"/spec/nodes","value":["node-b","node-c"]}]`, sayNodes),
		change("become the leader", five, `[{"op":"replace","path":"/spec/nodes","value":["node-a","node-b"]}]`, sayNodes),
		change("join in front", three, `[{"op":"add","path":"/spec/nodes/0","value":"node-a"}]`, sayNodes),
		change("join a local device", two, `[{"op":"add","path":"/spec/nodes/-","value":"node-a"}]`, sayNodes),
		change("take a local device", two, `[{"op":"replace","path":"/spec/nodes","value":["node-a"]}]`, sayNodes),
		{name: "join a local device by a forced apply", verb: "PATCH", path: two, kind: apply, force: true, want: sayNodes,
			body: strings.Replace(facts("cam-000002", `"capacity":1`), `"shared":true`, `"shared":false`, 1)},
		{name: "make it shared and join by a forced apply", verb: "PATCH", path: two, kind: apply, force: true, want: sayDevice,
			body: facts("cam-000002", `"capacity":1`)},

		slot("take another's slot", one, "replace", "cam-000001-0", "node-a", sayClaim),
		slot("take another's slot of the other door", one, "replace", "cam-000001-3", "node-a", sayClaim),
		slot("blank another's slot", one, "replace", "cam-000001-0", "", sayClaim),
		slot("free another's slot", one, "remove", "cam-000001-0", "", sayFree),
		change("free all slots", one, `[{"op":"remove","path":"/spec/deviceUsage"}]`, sayFree),
		slot("claim for another node", one, "add", "cam-000001-4", "node-b", sayClaim),
		slot("claim for another node through the other door", one, "add", "cam-000001-4", "C:cam-000001-4:node-b", sayClaim),
		slot("give its slot to another node", one, "replace", "cam-000001-1", "node-b", sayClaim),
		slot("claim in a form that nobody could free", one, "add", "cam-000001-4", "C:::node-a", sayClaim),
		slot("claim another Instance's slot", one, "add", "cam-000005-4", "node-a", sayClaim),
		slot("claim what is not a slot", one, "add", "cam-000001-x", "node-a", sayClaim),
		change("claim of a local device of another node", two, `[{"op":"add","path":"/spec/deviceUsage","value":{"cam-000002-0":"node-a"}}]`, sayClaim),
		{name: "take another's slot by a forced apply", verb: "PATCH", path: one, kind: apply, force: true, want: sayClaim,
			body: `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"cam-000001"},"spec":{"deviceUsage":{"cam-000001-0":"node-a"}}}`},

		change("capacity, led by another", five, `[{"op":"replace","path":"/spec/capacity","value":99}]`, sayLeader),
		change("property, led by another", five, `[{"op":"replace","path":"/spec/brokerProperties/K","value":"9"}]`, sayLeader),
		change("property away, led by another", five, `[{"op":"remove","path":"/spec/brokerProperties/K"}]`, sayLeader),
		change("property away as a follower that leaves", five, `[{"op":"remove","path":"/spec/nodes/1"},{"op":"remove","path":"/spec/brokerProperties/K"}]`, sayLeader),
		change("new property as a leader that leaves", one, `[{"op":"remove","path":"/spec/nodes/0"},{"op":"add","path":"/spec/brokerProperties/Z","value":"9"}]`, sayLeader),
		change("capacity of a device that it does not have", two, `[{"op":"replace","path":"/spec/capacity","value":99}]`, sayLeader),
		change("another Configuration", six, `[{"op":"replace","path":"/spec/configurationName","value":"mic"}]`, sayDevice),
		change("another cdiName", six, `[{"op":"replace","path":"/spec/cdiName","value":"akri.sh/cam=ffffff"}]`, sayDevice),
		change("shared by decree", six, `[{"op":"replace","path":"/spec/shared","value":true}]`, sayDevice),

		change("another owner", six, `[{"op":"replace","path":"/metadata/ownerReferences/0/name","value":"mic"}]`, sayOwner),
		change("no owner", six, `[{"op":"remove","path":"/metadata/ownerReferences"}]`, sayOwner),
		change("a second owner", six, `[{"op":"add","path":"/metadata/ownerReferences/-","value":{"apiVersion":"v1","kind":"Pod","name":"x","uid":"u"}}]`, sayOwner),
		change("finalizer", six, `[{"op":"add","path":"/metadata/finalizers","value":["example.org/hold"]}]`, sayFinalizer),
		change("its own finalizer", six, `[{"op":"add","path":"/metadata/finalizers","value":["node-a"]}]`, sayFinalizer),
		change("another node's finalizer", four, `[{"op":"remove","path":"/metadata/finalizers/1"}]`, sayFinalizer),
		change("hide a shared device", one, `[{"op":"remove","path":"/metadata/labels/akri.sh~1shared"}]`, sayLabel),
		change("show it as another node's", one, `[{"op":"add","path":"/metadata/labels/akri.sh~1node","value":"node-b"}]`, sayLabel),
		change("a label of others", one, `[{"op":"replace","path":"/metadata/labels/team","value":"z"}]`, sayLabel),
		change("a label", six, `[{"op":"add","path":"/metadata/labels/z","value":"z"}]`, sayLabel),
		change("a right label of a device that it does not have", four, `[{"op":"add","path":"/metadata/labels","value":{`+sharedLabels+`}}]`, sayLabel),
		change("another device id", six, `[{"op":"replace","path":"/metadata/annotations/akri.sh~1device-id","value":"other"}]`, sayAnnotation),
		change("an annotation of others", six, `[{"op":"remove","path":"/metadata/annotations/note"}]`, sayAnnotation),
		change("an annotation", six, `[{"op":"add","path":"/metadata/annotations/z","value":"z"}]`, sayAnnotation),

		{name: "delete what another node sees", verb: "DELETE", path: one, want: sayDelete},
		{name: "delete another node's", verb: "DELETE", path: two, want: sayDelete},
		{name: "delete what a container of another node has", verb: "DELETE", path: instances + "cam-000007", want: sayRecord},
		{name: "delete all", verb: "DELETE", path: instances, want: "cannot deletecollection resource"},
		{name: "replace", verb: "PUT", path: six, kind: post, body: create("cam-000006", localLabels, ``, `"nodes":["node-a"]`), want: "cannot update resource"},

		change("another's state", one+"/status", `[{"op":"replace","path":"/status/nodes/0/state","value":"Online"}]`, sayStatus),
		change("another's entry away", one+"/status", `[{"op":"remove","path":"/status/nodes/0"}]`, sayStatus),
		change("an entry for another node", one+"/status", `[{"op":"add","path":"/status/nodes/-","value":{"name":"node-c","state":"Offline"}}]`, sayStatus),
		change("a condition", one+"/status", `[{"op":"replace","path":"/status/conditions/0/status","value":"False"}]`, sayStatus),
		change("no status", one+"/status", `[{"op":"remove","path":"/status"}]`, sayStatus),
	})

	// The two halves of an object cannot be reached through each other.
	before := w.must(t, request{verb: "GET", path: one})
	for _, r := range []request{
		change("", one, `[{"op":"replace","path":"/status/nodes/0/state","value":"Online"}]`, ""),
		change("", one+"/status", `[{"op":"replace","path":"/spec/nodes","value":["node-c"]},{"op":"remove","path":"/metadata/labels"}]`, ""),
	} {
		if _, err := w.send(t, agent, r, false); err != nil && !strings.Contains(err.Error(), sayStatus) {
			t.Errorf("%s: %v", r.body, err)
		}
	}
	if after := w.must(t, request{verb: "GET", path: one}); string(after) != string(before) {
		t.Errorf("the Instance was\n%s\nand is\n%s", before, after)
	}

	// A token that is bound to no Pod may read, and write nothing.
	w.try(t, w.agent(t, ""), []request{
		{name: "unbound: read", verb: "GET", path: one},
		{name: "unbound: create", verb: "POST", path: instances, kind: post, body: create("cam-0000aa", `"akri.sh/configuration":"cam","akri.sh/node":""`, ``, `"nodes":[""]`), want: sayNode},
		{name: "unbound: change", verb: "PATCH", path: one, kind: jsonp, body: `[{"op":"remove","path":"/spec/nodes/0"}]`, want: sayNode},
		{name: "unbound: status", verb: "PATCH", path: one + "/status", kind: jsonp, body: `[{"op":"remove","path":"/status/nodes/0"}]`, want: sayNode},
		{name: "unbound: delete", verb: "DELETE", path: six, want: sayNode},
		{name: "unbound: Event", verb: "POST", path: events, kind: post, body: event("akri.sh/agent", "node-a", "akri.sh/v0"), want: sayNode},
	})
}

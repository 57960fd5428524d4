//go:build integration

package containment

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const (
	sayEventName = "an agent's Events are called <what they are about>.<number> and say nothing else"
	sayEventMeta = "an agent's Events have no finalizers, owners, labels and annotations"
	sayEntry     = "an agent's managedFields speak of its own node's entry"
	sayFit       = "brokerProperties have at most 512 KiB"
	sayPlain     = "an agent sets neither generateName nor selfLink"
	sayNoOthers  = ", and no others"
)

// What an agent may write has limits in size and form: nothing that it writes
// makes an object so large that nobody else can write it, or is nonsense.
func testBounds(t *testing.T, w *fixture) {
	const one, five, six, cam = instances + "cam-000001", instances + "cam-000005", instances + "cam-000006", configurations + "cam"
	huge := strings.Repeat("x", 1<<20)
	change := func(name, path, body, want string) request {
		return request{name: name, verb: "PATCH", path: path, kind: jsonp, body: body, want: want}
	}
	add := func(name, path, field, value, want string) request {
		return change(name, path, `[{"op":"add","path":"`+field+`","value":`+value+`}]`, want)
	}
	entry := func(fields string) string {
		return `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"cam-000001"},"status":{"nodes":[{"name":"node-a",` + fields + `}]}}`
	}
	properties := func(n, size int, char string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"K%d":"%s"`, i, strings.Repeat(char, size)))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	agent := w.agent(t, "node-a")
	w.try(t, agent, []request{
		{name: "as much as a handler and a Configuration may say", verb: "PATCH", path: six, kind: merge, body: `{"spec":{"brokerProperties":` + properties(315, 1650, "x") + `}}`},
		{name: "a long device id", verb: "POST", path: instances, kind: post,
			body: create("cam-0000aa", localLabels, `,"annotations":{"akri.sh/device-id":"`+huge[:1024]+`"}`, `"nodes":["node-a"]`)},

		{name: "a huge state", verb: "PATCH", path: one + "/status", kind: apply, body: entry(`"state":"` + huge + `"`), want: "may not be more than 64"},
		{name: "a huge reason", verb: "PATCH", path: one + "/status", kind: apply, body: entry(`"state":"Offline","reason":"` + huge + `"`), want: "may not be more than 128"},
		{name: "a huge message", verb: "PATCH", path: one + "/status", kind: apply, body: entry(`"state":"Offline","message":"` + huge + `"`), want: "may not be more than 1024"},
		{name: "a huge state of a Configuration", verb: "PATCH", path: cam + "/status", kind: apply, want: "may not be more than 64",
			body: `{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"cam"},"status":{"nodes":[{"name":"node-a","state":"` + huge + `"}]}}`},
		add("a huge property", six, "/spec/brokerProperties/Z", `"`+huge+`"`, "a value of at most 32768"),
		add("a huge name of a property", six, "/spec/brokerProperties/"+huge, `"1"`, "a name of at most 253"),
		{name: "many properties", verb: "PATCH", path: six, kind: merge, body: `{"spec":{"brokerProperties":` + properties(321, 1, "x") + `}}`, want: "must have at most 320 items"},
		{name: "properties that are large together", verb: "PATCH", path: six, kind: merge, body: `{"spec":{"brokerProperties":` + properties(30, 32_000, "x") + `}}`, want: "at most 524288 characters"},
		{name: "properties that are large in bytes", verb: "PATCH", path: six, kind: merge, body: `{"spec":{"brokerProperties":` + properties(10, 30_000, "€") + `}}`, want: sayFit},
		{name: "a new Instance that is large in bytes", verb: "POST", path: instances, kind: post, want: sayFit,
			body: create("cam-0000aa", localLabels, ``, `"nodes":["node-a"],"brokerProperties":`+properties(10, 30_000, "€"))},
		{name: "a huge device id", verb: "POST", path: instances, kind: post, want: sayNoOthers,
			body: create("cam-0000aa", localLabels, `,"annotations":{"akri.sh/device-id":"`+huge[:1025]+`"}`, `"nodes":["node-a"]`)},
		{name: "a new Instance with another annotation", verb: "POST", path: instances, kind: post, want: sayNoOthers,
			body: create("cam-0000aa", localLabels, `,"annotations":{"z":"z"}`, `"nodes":["node-a"]`)},
		{name: "a new Instance with another label", verb: "POST", path: instances, kind: post, want: sayLabels,
			body: create("cam-0000aa", localLabels+`,"team":"x"`, ``, `"nodes":["node-a"]`)},
		add("generateName", six, "/metadata/generateName", `"x"`, sayPlain),
		add("selfLink", six, "/metadata/selfLink", `"x"`, sayPlain),
		{name: "a huge UID of the owner", verb: "POST", path: instances, kind: post, want: sayOneOwner,
			body: strings.Replace(create("cam-0000aa", localLabels, ``, `"nodes":["node-a"]`), "{{.UID}}", huge, 1)},
		add("a second owner of that name", six, "/metadata/ownerReferences/-", `{"apiVersion":"akri.sh/v0","kind":"Configuration","name":"cam","uid":"00000000-0000-0000-0000-000000000000"}`, sayOwner),
		change("another UID of the owner", six, `[{"op":"replace","path":"/metadata/ownerReferences/0/uid","value":"00000000-0000-0000-0000-000000000000"}]`, sayOwner),

		add("a claim beyond the capacity", one, "/spec/deviceUsage/cam-000001-4", `"node-a"`, sayClaim),
		add("a claim far beyond the capacity", one, "/spec/deviceUsage/cam-000001-9999", `"node-a"`, sayClaim),
		add("a claim of a slot in another spelling", one, "/spec/deviceUsage/cam-000001-01", `"node-a"`, sayClaim),
		add("a claim under a long name", one, "/spec/deviceUsage/cam-000001-2", `"C:`+huge[:280]+`:node-a"`, sayClaim),
	})

	// Who owns which field.
	junk := `{"manager":"%s","operation":"%s","apiVersion":"akri.sh/v0","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{%s}%s}`
	facts := func(fields string) string { return fmt.Sprintf(junk, "akri-agent/node-a", "Apply", fields, "") }
	status := func(fields string) string {
		return fmt.Sprintf(junk, "akri-agent/node-a", "Apply", fields, `,"subresource":"status"`)
	}
	all := func(path string) string {
		var o struct {
			Metadata struct{ ManagedFields json.RawMessage }
		}
		if err := json.Unmarshal(w.must(t, request{verb: "GET", path: path}), &o); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(o.Metadata.ManagedFields), "]")
	}
	// Made as agents make them, so that there is something to lose.
	w.must(t, request{verb: "PATCH", path: five, kind: apply, force: true, manager: "akri-agent/node-b",
		body: `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"cam-000005"},"spec":{"nodes":["node-b"],"brokerProperties":{"K":"1"}}}`})
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf(`"k:{\"name\":\"%d\"}":{}`, i))
	}
	const field = "/metadata/managedFields"
	w.try(t, agent, []request{
		add("managedFields: none", five, field, `[{}]`, sayOthers),
		add("managedFields: its own alone", five, field, "["+facts(`"f:spec":{"f:nodes":{"v:\"node-a\"":{}}}`)+"]", sayOthers),
		add("managedFields: in another's name", five, field, all(five)+","+fmt.Sprintf(junk, "kubectl", "Apply", `"f:spec":{"f:`+huge[:1000]+`":{}}`, "")+"]", sayOthers),
		add("managedFields: huge, its own", five, field, all(five)+","+facts(`"f:spec":{"f:`+huge+`":{}}`)+"]", sayOurs),
		add("managedFields: huge, a property that is not there", five, field, all(five)+","+facts(`"f:spec":{"f:brokerProperties":{"f:`+huge+`":{}}}`)+"]", sayOurs),
		add("managedFields: huge, a node that is not there", five, field, all(five)+","+facts(`"f:spec":{"f:nodes":{"v:\"`+huge+`\"":{}}}`)+"]", sayOurs),
		add("managedFields: huge, in the status", five, field, all(five)+","+status(`"f:status":{"f:nodes":{"k:{\"name\":\"x\"}":{"f:`+huge+`":{}}}}`)+"]", sayOurs),
		add("managedFields: deep, in the status", five, field, all(five)+","+status(`"f:status":{"f:nodes":{"k:{\"name\":\"x\"}":{"f:state":{"f:`+huge+`":{}}}}}`)+"]", sayOurs),
		add("managedFields: many nodes in the status", five, field, all(five)+","+status(`"f:status":{"f:nodes":{`+strings.Join(keys, ",")+`}}`)+"]", sayOurs),
		{name: "managedFields: of a new Instance", verb: "POST", path: instances, kind: post, want: sayOurs,
			body: create("cam-0000aa", localLabels, `,"managedFields":[`+facts(`"f:spec":{"f:`+huge+`":{}}`)+`]`, `"nodes":["node-a"]`)},
		{name: "managedFields: of a new Instance, in another's name", verb: "POST", path: instances, kind: post, manager: "kubectl", want: sayOthers,
			body: create("cam-0000aa", localLabels, ``, `"nodes":["node-a"]`)},
		{name: "a claim in another's name", verb: "PATCH", path: one, kind: jsonp, manager: "akri-slots/node-b", want: sayOthers,
			body: `[{"op":"replace","path":"/spec/deviceUsage/cam-000001-2","value":"node-a"}]`},
	})

	w.try(t, agent, []request{
		{name: "a status in the name of many", verb: "PATCH", path: one + "/status", kind: apply, manager: "many-1", body: entry(`"state":"Offline"`), want: sayOthers},
		{name: "a Configuration's status in the name of many", verb: "PATCH", path: cam + "/status", kind: apply, manager: "many-1", want: sayEntry,
			body: `{"apiVersion":"akri.sh/v0","kind":"Configuration","metadata":{"name":"cam"},"status":{"nodes":[{"name":"node-a","state":"Active"}]}}`},
		{name: "facts in the name of many", verb: "PATCH", path: one, kind: apply, manager: "many-1", force: true, want: sayOthers,
			body: `{"apiVersion":"akri.sh/v0","kind":"Instance","metadata":{"name":"cam-000001"},"spec":{"nodes":["node-a"]}}`},
	})
	// What the API server itself drops changes nothing.
	before := all(five) + all(cam)
	for _, r := range []request{
		add("", five+"/status", field, all(five)+","+status(`"f:status":{"f:nodes":{"k:{\"name\":\"`+huge+`\"}":{}}}`)+"]", ""),
		add("", five+"/status", field, `[{}]`, ""),
		add("", cam+"/status", field, all(cam)+","+status(`"f:status":{"f:`+huge+`":{}}`)+"]", ""),
		add("", cam+"/status", field, `[{}]`, ""),
	} {
		if _, err := w.send(t, agent, r, false); err != nil {
			t.Error(err)
		}
	}
	if after := all(five) + all(cam); after != before {
		t.Errorf("managedFields were %.2000s\nand are %.2000s", before, after)
	}

	// Events.
	with := func(name, old, new, want string) request {
		return request{name: "Event " + name, verb: "POST", path: events, kind: post, want: want,
			body: strings.Replace(event("akri.sh/agent", "node-a", "akri.sh/v0"), old, new, 1)}
	}
	meta := func(name, more, want string) request {
		return with(name, `"metadata":{`, `"metadata":{`+more+`,`, want)
	}
	w.try(t, agent, []request{
		with("about a Pod, said to be of Akri", `"kind":"Configuration"`, `"kind":"Pod"`, sayEvent),
		with("about another namespace", `"namespace":"cams","name":"cam"`, `"namespace":"kube-system","name":"cam"`, sayEvent),
		with("of a future version", `"apiVersion":"akri.sh/v0"`, `"apiVersion":"akri.sh/v9"`, sayEvent),
		with("with another name", `"name":"cam.18a0b1c2d3e4f5061"`, `"name":"login.18a0b1c2d3e4f5061"`, sayEventName),
		with("with a name without number", `"name":"cam.18a0b1c2d3e4f5061"`, `"name":"cam.x"`, sayEventName),
		with("with a huge UID", `"name":"cam"}`, `"name":"cam","uid":"`+huge+`"}`, sayEventName),
		with("with a huge path", `"name":"cam"}`, `"name":"cam","fieldPath":"`+huge+`"}`, sayEventName),
		with("that relates to something", `"name":"cam"}`, `"name":"cam"},"related":{"kind":"Pod","name":"`+huge+`"}`, sayEventName),
		with("from something else", `"name":"cam"}`, `"name":"cam"},"deprecatedSource":{"component":"kubelet"}`, "needs to be unset"),
		meta("with a finalizer", `"finalizers":["example.org/hold"]`, sayEventMeta),
		meta("with an owner", `"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"u"}]`, sayEventMeta),
		meta("with a label", `"labels":{"a":"b"}`, sayEventMeta),
		meta("with an annotation", `"annotations":{"a":"`+huge[:100_000]+`"}`, sayEventMeta),
		meta("with managedFields", `"managedFields":[`+strings.Replace(facts(`"f:`+huge+`":{}`), "akri.sh/v0", "events.k8s.io/v1", 1)+`]`, sayEventMeta),
	})
}

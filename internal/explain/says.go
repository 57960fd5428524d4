package explain

import (
	"regexp"
	"slices"
	"strings"

	v0 "github.com/akri-go/akri/api/v0"
)

// saying is something that handlers say in their reports' notes, by words in it.
type saying struct {
	words   string
	cause   Cause
	level   Level
	summary string
	remedy  Remedy
}

// sayings are those that have a remedy of their own, from internal/handlers.
// Whatever else a handler says is quoted, with the page about that handler.
var sayings = [...]saying{
	{"discovery property ", PropertyUnreadable, Problem, "its discoveryProperties cannot be read; the handler " +
		"keeps what it was asked before",
		Remedy{Text: "the message says what to create, or what to allow", See: "docs/configuration.md"}},
	{"left out, because the node itself needs it: ", LeftOut, Warning,
		"a device is left out, because the node itself needs it",
		Remedy{Text: "if brokers may have it nevertheless, the operator can allow it " +
			"(udev.discovery.allowNodeDevices)", See: "docs/handlers/udev.md"}},
	{"udev records nothing here", NoUdevRecords, Problem, "a rule asks for what udev knows, and there is no udev",
		Remedy{Text: "let udevd run on the node and set udev.discovery.host.udev to its folder, or match on ATTRS " +
			"instead of ENV and TAG",
			See: "docs/handlers/udev.md"}},
	{"identified by place, ", NoSerialNumber, Warning, "a device is identified by its place, since it has no " +
		"serial number of its own",
		Remedy{Text: "it is another device when it is plugged in elsewhere; with identifyBy: path that is said " +
			"openly", See: "docs/handlers/udev.md"}},
	{"is not there: it was unplugged, or the agent does not see the node's folder", DevicePathIsMissing, Problem,
		"a device node is not there", Remedy{Text: "plug the device in again; if nodes are containers, they need " +
			"the device node too"}},
	{"is not in an allowed folder", DeviceRefused, Problem, "a handler wants a folder of the node mounted that is " +
		"not allowed",
		Remedy{Text: "the operator allows folders in agent.allowedMounts, and device nodes outside of /dev in " +
			"agent.allowedHostPaths",
			See: "docs/security.md"}},
	{"devices are left out: a Configuration may have", DeviceRefused, Warning,
		"it finds more devices than a node may have",
		Remedy{Text: "narrow the discoveryDetails, or make several Configurations"}},
}

// notes reports what an agent and its handlers add to an entry that is Active.
func (v *view) notes(c *v0.Configuration, node, text string) {
	if text == "" {
		return
	}
	f := Finding{
		Level: Warning, Step: StepDevice, Cause: HandlerSays, Subject: subjectOf(Configuration,
			c), Nodes: []string{node},
		Summary: plainly(text), Remedy: Remedy{See: handlerPage(c)},
	}
	for _, s := range sayings {
		if strings.Contains(text, s.words) {
			f.Cause, f.Level, f.Summary, f.Remedy = s.cause, s.level, s.summary, s.remedy
			break
		}
	}
	if f.Cause == HandlerSays {
		f.Remedy.Text = "the message says what is wrong with that device or address; the page says what else to " +
			"look at"
		f.Remedy.Commands = v.handlerLog(c)
		if k, ok := kindOf(c); ok {
			f.Remedy.Commands = append(f.Remedy.Commands, "akri discover "+k.Name+" --help")
		}
	}
	f.says("status of node "+node, "%s", text)
	v.merge(f)
}

// endpoint is what an agent writes before what a handler says.
var endpoint = regexp.MustCompile(`^(builtin:|unix:|https?://|/)\S*: `)

// plainly is oneLine without the handler's endpoint.
func plainly(text string) string { return endpoint.ReplaceAllString(oneLine(text), "") }

// merge adds a finding, or adds its nodes and evidence to one that has the same
// cause and summary: many nodes say the same.
func (v *view) merge(f Finding) {
	for i := range v.found {
		o := &v.found[i]
		if o.ref() == f.ref() && o.Summary == f.Summary {
			o.Nodes = slices.Compact(slices.Sorted(slices.Values(append(o.Nodes, f.Nodes...))))
			for _, e := range f.Evidence {
				o.says(e.From, "%s", e.Says)
			}
			return
		}
	}
	v.add(f)
}

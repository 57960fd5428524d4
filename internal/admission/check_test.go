package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission/admissiontest"
)

// parse reads a Configuration; each change is "old => new" in its YAML.
func parse(t *testing.T, text string, changes ...string) *v0.Configuration {
	t.Helper()
	c := &v0.Configuration{}
	if err := yaml.UnmarshalStrict([]byte(admissiontest.Change(t, text, changes...)), c); err != nil {
		t.Fatal(err)
	}
	return c
}

const brokerPod = "spec.brokerSpec.brokerPodSpec"

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes []string
		facts   Facts
		errs    []string // each is in one error, in this order
		warns   []string
	}{
		{name: "good"},
		{name: "another's handler", changes: []string{"name: udev => name: mine"}},
		{name: "details of another handler", changes: []string{"name: udev => name: onvif"},
			errs: []string{`discoveryDetails: Invalid value: unknown field "udevRules": the keys are ipAddresses`}},
		{name: "no handler", changes: []string{`name: udev => name: ""`}, errs: []string{"spec.discoveryHandler.name: Required value: name a discovery handler"}},
		{name: "handler in capitals", changes: []string{"name: udev => name: UDEV"}, warns: []string{`"UDEV" is not the built-in handler "udev"`}},
		{name: "bad rule", changes: []string{`KERNEL== => KERNEL=`},
			errs: []string{"spec.discoveryHandler.discoveryDetails: Invalid value: udevRules: rule 1 of 1: column 7:"}},
		{name: "field of another kind of rule", changes: []string{`KERNEL=="video*" => KERNEL=="a", RUN=="b"`},
			errs: []string{"column 14: "}},
		{name: "no rules", changes: []string{`- KERNEL=="video*" =>   []`}, errs: []string{"there is no rule"}},
		{name: "rules are missing", changes: []string{"udevRules: => groupRecursive: true #", `- KERNEL=="video*" => #`}, errs: []string{"udevRules is missing"}},
		{name: "permissions", changes: []string{"udevRules: => permissions: wr\n      udevRules:"}, errs: []string{"permissions: must be one of r, w, m"}},
		{name: "misspelt detail", changes: []string{"udevRules: => groupRecursiv: true\n      udevRules:"}, errs: []string{"groupRecursiv: unknown key"}},
		{name: "details are no YAML", changes: []string{"udevRules: => {"}, errs: []string{"discoveryDetails: Invalid value"}},
		{name: "another meaning than upstream's", changes: []string{`KERNEL=="video*" => ENV{A}=="1", ENV{B}=="2"`},
			warns: []string{"udev rule 1, column 14: ENV{B}: must hold together with the ENV{A}"}},
		{name: "an id in upper case", changes: []string{`KERNEL=="video*" => SUBSYSTEM=="tty", ATTRS{idVendor}=="10C4"`},
			warns: []string{`udev rule 1, column 19: ATTRS{idVendor}: ids have hexadecimal digits in lower case: write "10c4"`}},
		{name: "a rule that YAML cuts", changes: []string{`KERNEL=="video*" => SUBSYSTEM=="tty", ATTRS{interface}=="CDC #1"`},
			errs: []string{"has no closing quote (YAML has cut it off: after a space, # begins a comment; put the rule between single quotes)"}},
		{name: "debugEcho", changes: []string{"name: udev => name: debugEcho", "udevRules: => descriptions:", `KERNEL=="video*" => foo`}},
		{name: "debugEcho misspelt", changes: []string{"name: udev => name: debugEcho", "udevRules: => description:", `KERNEL=="video*" => foo`},
			errs: []string{`unknown field "description"`}},
		{name: "debugEcho without devices", changes: []string{"name: udev => name: debugEcho", "udevRules: => {}\n#", `- KERNEL=="video*" => #`},
			errs: []string{"descriptions is missing"}},

		{name: "no slot", changes: []string{"capacity: 2 => capacity: 0"}, errs: []string{"spec.capacity: Invalid value: is 0: a device needs at least one slot"}},
		{name: "long name", changes: []string{"name: cam => name: " + strings.Repeat("x", 57)}, errs: []string{"metadata.name: Invalid value: has 57 characters"}},
		{name: "name taken", facts: Facts{Namesakes: []types.NamespacedName{{Namespace: "yard", Name: "cam"}}},
			errs: []string{"metadata.name: Invalid value: belongs to the Configuration yard/cam: resources of a node (akri.sh/cam) have no namespace. Choose another name"}},
		{name: "name of an Instance", facts: Facts{Instance: instance("yard", "c")},
			errs: []string{"metadata.name: Invalid value: belongs to an Instance of the Configuration yard/c"}},
		{name: "gap", facts: Facts{Gaps: []string{"nobody knows"}}, warns: []string{"nobody knows"}},
		{name: "negative grace", changes: []string{"name: udev => name: udev\n    offlineGracePeriod: -1s"}, errs: []string{"offlineGracePeriod: Invalid value: is negative"}},

		{name: "two brokers", changes: []string{"brokerPodSpec: => brokerJobSpec: {template: {spec: {restartPolicy: Never, containers: [{name: b, image: b, resources: {limits: {\"{{PLACEHOLDER}}\": 1}}}]}}}\n    brokerPodSpec:"},
			errs: []string{"spec.brokerSpec: Invalid value: give brokerPodSpec or brokerJobSpec, not both"}},
		{name: "no broker in brokerSpec", changes: []string{"brokerSpec: => brokerSpec: {}\n  brokerProperties: {}\n#", "    brokerPodSpec: => #", "      containers: => #",
			"      - name: broker => #", "        image: broker => #", "        resources: => #"}, warns: []string{"has neither brokerPodSpec nor brokerJobSpec"}},
		{name: "no placeholder", changes: []string{`"{{PLACEHOLDER}}" => cpu`}, warns: []string{brokerPod + `: no container asks for "{{PLACEHOLDER}}"`}},
		{name: "more than there is", changes: []string{`"{{PLACEHOLDER}}": "1" => "{{PLACEHOLDER}}": "3"`}, warns: []string{"asks for 3", "capacity is 2"}},
		{name: "more than there is, in two containers", changes: []string{`"{{PLACEHOLDER}}": "1"}} => "{{PLACEHOLDER}}": "1"}}
      - {name: more, image: b, resources: {limits: {"{{PLACEHOLDER}}": "2"}}}`}, warns: []string{"asks for 3", "capacity is 2"}},
		{name: "an init container's slots are used again", changes: []string{`"{{PLACEHOLDER}}": "1"}} => "{{PLACEHOLDER}}": "2"}}
      initContainers:
      - {name: first, image: b, resources: {limits: {"{{PLACEHOLDER}}": "2"}}}`}},
		{name: "a group without a user", changes: []string{"image: broker => image: broker\n        securityContext: {runAsGroup: 5}"},
			warns: []string{"runAsGroup without runAsUser"}},
		{name: "a group with the Pod's user", changes: []string{"image: broker => image: broker\n        securityContext: {runAsGroup: 5}",
			"      containers: =>       securityContext: {runAsUser: 5}\n      containers:"}},
		{name: "placeholder only in requests", changes: []string{"{limits: => {requests:"},
			errs: []string{brokerPod + `.containers[0].resources.limits[{{PLACEHOLDER}}]: Required value: is only in requests`}},
		{name: "half a device", changes: []string{`"1" => 500m`},
			errs: []string{brokerPod + `.containers[0].resources.limits[{{PLACEHOLDER}}]: Invalid value: is 500m: write a whole number of devices`}},
		{name: "other amounts", changes: []string{"limits: => requests: {\"{{PLACEHOLDER}}\": 2}, limits:"}, errs: []string{"is 2, and 1 in limits"}},
		{name: "no amount", changes: []string{`"1" => many`}, errs: []string{"an amount is a number, such as 1, 500m or 2Gi"}},
		{name: "container without a name and an image", changes: []string{"- name: broker => - workingDir: /", "image: broker => tty: true"},
			errs: []string{"containers[0].name: Required value", "containers[0].image: Required value"}},
		{name: "no such volume", changes: []string{"image: broker => image: broker\n        volumeMounts: [{name: data, mountPath: /data}]"},
			errs: []string{`containers[0].volumeMounts[0].name: Not found: there is no volume "data"`}},
		{name: "text for a number", changes: []string{"image: broker => image: 5"}, errs: []string{brokerPod + ": Invalid value: not a PodSpec: containers.image cannot be of the type number"}},
		{name: "no containers", changes: []string{"containers: => initContainers:"}, errs: []string{brokerPod + ": Invalid value: containers: at least one is needed"}},
		{name: "not a Pod", changes: []string{"image: broker => image: [1]"}, errs: []string{brokerPod + ": Invalid value: not a PodSpec"}},
		{name: "not a Service", changes: []string{"port: 80 => port: http"}, warns: []string{"instanceServiceSpec: not a ServiceSpec"}},

		{name: "unknown field, no cluster", changes: []string{"image: broker => image: broker\n        imag: x"},
			errs: []string{brokerPod + ".containers[0].imag: Invalid value: there is no such field in Kubernetes"}},
		{name: "unknown field of a Service, no cluster", changes: []string{"port: 80 => port: 80, prt: 1"},
			warns: []string{"instanceServiceSpec.ports[0].prt: there is no such field"}},
		{name: "the cluster knows a field that we do not", changes: []string{"image: broker => image: broker\n        imag: x"},
			facts: Facts{Trials: map[string]Verdict{brokerPod: {Answered: true}}}},
		{name: "the cluster does not know a field", facts: Facts{Trials: map[string]Verdict{brokerPod: {Answered: true, Faults: []Fault{{"containers[0].image", field.ErrorTypeRequired, "what?"}}}}},
			errs: []string{brokerPod + ".containers[0].image: Required value: what?"}},
		{name: "called like an Instance to come", facts: Facts{Parent: &types.NamespacedName{Namespace: "yard", Name: "c"}},
			errs: []string{"metadata.name: Invalid value: can become the name of an Instance of the Configuration yard/c"}},
		{name: "another is called like an Instance to come", facts: Facts{Heirs: []types.NamespacedName{{Namespace: "yard", Name: "cam-a1b2c3"}}},
			warns: []string{"Configuration yard/cam-a1b2c3 has a name that an Instance of this one can get"}},
		{name: "others ask the same", facts: Facts{Same: []types.NamespacedName{{Namespace: "edge", Name: "twin"}, {Namespace: "yard", Name: "twin"}}},
			warns: []string{"Configuration twin asks for the same devices: two users can have each of them at the same time", "Configuration yard/twin asks for the same"}},
		{name: "the user may not", facts: Facts{Denials: map[string]string{brokerPod: "jane may not create pods"}}, errs: []string{brokerPod + ": Forbidden: jane may not create pods"}},
		{name: "no answer", facts: Facts{Trials: map[string]Verdict{brokerPod: {Objection: "away"}}}, warns: []string{"could not be checked: away"}},
		{name: "objection", facts: Facts{Trials: map[string]Verdict{brokerPod: {Answered: true, Objection: "quota"}}}, warns: []string{"brokerPodSpec: would be refused now: quota"}},

		{name: "neither value nor source", changes: []string{"name: udev => name: udev\n    discoveryProperties: [{name: A}]"},
			errs: []string{"spec.discoveryHandler.discoveryProperties[0]: Invalid value: give exactly one of value and valueFrom"}},
		{name: "value and source", changes: []string{"name: udev => name: udev\n    discoveryProperties: [{name: A, value: hush, valueFrom: {secretKeyRef: {name: s, key: k}}}]"},
			errs: []string{"give exactly one of value and valueFrom"}},
		{name: "two sources", changes: []string{"name: udev => name: udev\n    discoveryProperties: [{name: A, valueFrom: {configMapKeyRef: {name: s, key: k}, secretKeyRef: {name: s, key: k}}}]"},
			errs: []string{"valueFrom: Invalid value: give exactly one of secretKeyRef and configMapKeyRef"}},
		{name: "no key", changes: []string{"name: udev => name: udev\n    discoveryProperties: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]"},
			errs: []string{"valueFrom.secretKeyRef: Required value: name and key are both needed"}},
		{name: "twice, and elsewhere", changes: []string{"name: udev => name: udev\n    discoveryProperties: [{name: A, value: hush}, {name: A, valueFrom: {secretKeyRef: {name: s, key: k, namespace: other}}}]"},
			warns: []string{"A is listed twice", "only if the operator allows the namespace other"}},
		{name: "environment", changes: []string{"capacity: 2 => capacity: 2\n  brokerProperties: {A=B: c}"}, errs: []string{`spec.brokerProperties: Invalid value: "A=B"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			errs, warnings := Check(parse(t, admissiontest.Good, tt.changes...), nil, tt.facts)
			var have []string
			for _, e := range errs {
				have = append(have, e.Error())
			}
			same(t, "errors", have, tt.errs)
			same(t, "warnings", warnings, tt.warns)
			if all := fmt.Sprint(have, warnings); strings.Contains(all, "hush") {
				t.Errorf("a value is told: %s", all)
			}
		})
	}
}

func instance(namespace, configuration string) *v0.Instance {
	i := &v0.Instance{}
	i.Namespace, i.Spec.ConfigurationName = namespace, configuration
	return i
}

// same checks that each line contains its part.
func same(t *testing.T, what string, have, parts []string) {
	t.Helper()
	if len(have) != len(parts) && (len(have) != 1 || len(parts) == 0) {
		t.Errorf("%s: %q, want %q", what, have, parts)
		return
	}
	for i, p := range parts {
		if !strings.Contains(have[min(i, len(have)-1)], p) {
			t.Errorf("%s: %q, want %q", what, have, parts)
		}
	}
}

func TestCheckChange(t *testing.T) {
	taken := Facts{Namesakes: []types.NamespacedName{{Namespace: "yard", Name: "cam"}}, Instance: instance("yard", "c")}
	for _, tt := range []struct {
		name     string
		old, now []string
		facts    Facts
		errs     []string
		warns    []string
	}{
		{name: "nothing"},
		{name: "nor can one like an Instance's", facts: Facts{Parent: &types.NamespacedName{Name: "c"}, Heirs: []types.NamespacedName{{Name: "cam-a1b2c3"}}}},
		{name: "a name cannot be helped", facts: taken, warns: []string{"Configuration yard/cam has the same name"}},
		{name: "capacity", now: []string{"capacity: 2 => capacity: 7"}},
		{name: "address of a Service", now: []string{"ports: => clusterIP: None\n    ports:"},
			warns: []string{"instanceServiceSpec.clusterIP: cannot change while the Service exists: remove the spec"}},
		{name: "any address", old: []string{"ports: => clusterIP: 10.0.0.9\n    ports:"}},
		{name: "address of a new Service", old: []string{"instanceServiceSpec: => configurationServiceSpec:"}, now: []string{"ports: => clusterIP: None\n    ports:"}},
		{name: "a spec that stays is not judged again", old: []string{"image: broker => imag: broker"}, now: []string{"image: broker => imag: broker", "capacity: 2 => capacity: 3"}},
		{name: "a spec that changes is", old: []string{"image: broker => imag: broker"}, now: []string{"image: broker => imag: b"}, errs: []string{"containers[0].imag:", "containers[0].image: Required"}},
		{name: "what was bad stays bad", old: []string{"capacity: 2 => capacity: 0"}, now: []string{"capacity: 2 => capacity: 0", "- KERNEL => - ENV{X}==\"1\", KERNEL"}, errs: []string{"spec.capacity"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			errs, warnings := Check(parse(t, admissiontest.Good, tt.now...), parse(t, admissiontest.Good, tt.old...), tt.facts)
			var have []string
			for _, e := range errs {
				have = append(have, e.Error())
			}
			same(t, "errors", have, tt.errs)
			same(t, "warnings", warnings, tt.warns)
		})
	}
}

func TestWarningsAreShortAndFew(t *testing.T) {
	rules := strings.Repeat("\n      - ENV{A}==\"1\", ENV{B}==\"2\", ATTRS{"+strings.Repeat("é", 200)+"}!=\"*x*\", KERNELS==\"a.*\", DEVPATH==\"/x\"", 20)
	_, warnings := Check(parse(t, admissiontest.Good, "\n      - KERNEL==\"video*\" => "+rules), nil, Facts{})
	if len(warnings) != maxWarnings+1 || !strings.Contains(warnings[maxWarnings], "more") {
		t.Errorf("%d warnings, the last is %q", len(warnings), warnings[len(warnings)-1])
	}
	total := 0
	for _, w := range warnings {
		total += len(w)
		if utf8.RuneCountInString(w) > maxWarningBytes || strings.ContainsAny(w, "\r\n\t") {
			t.Errorf("warning %q", w)
		}
	}
	if total > 4096 {
		t.Errorf("%d bytes of warnings: the API server shortens more than 4096", total)
	}
	if !slices.IsSortedFunc(warnings[:1], strings.Compare) || !utf8.ValidString(strings.Join(warnings, "")) {
		t.Error("a character was cut in two")
	}
}

// Check returns for any Configuration.
func FuzzCheck(f *testing.F) {
	c := &v0.Configuration{}
	if err := yaml.Unmarshal([]byte(admissiontest.Good), c); err != nil {
		f.Fatal(err)
	}
	raw := string(c.Spec.BrokerSpec.BrokerPodSpec.Raw)
	f.Add("udev", c.Spec.DiscoveryHandler.DiscoveryDetails, raw, `{"ports":[{"port":80}]}`)
	f.Add("debugEcho", "descriptions: [a, b]", `{"containers":[{"resources":{"limits":{"{{PLACEHOLDER}}":-1}}}]}`, `null`)
	f.Add("udev", "udevRules: [KERNEL==\"a\" KERNEL==\"b\"]", `{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[null]}}},"containers":[null]}`, `[]`)
	f.Fuzz(func(t *testing.T, handler, details, pod, service string) {
		c := c.DeepCopy()
		c.Spec.DiscoveryHandler.Name, c.Spec.DiscoveryHandler.DiscoveryDetails = handler, details
		c.Spec.BrokerSpec.BrokerPodSpec.Raw = []byte(pod)
		c.Spec.InstanceServiceSpec.Raw = []byte(service)
		errs, warnings := Check(c, nil, Facts{})
		if len(warnings) > maxWarnings+1 {
			t.Errorf("%d warnings", len(warnings))
		}
		if again, _ := Check(c, c, Facts{}); len(again) > len(errs) {
			t.Errorf("without a change there are more errors: %v, %v", errs, again)
		}
	})
}

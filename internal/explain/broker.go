package explain

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload"
)

// brokerSpec finds what is wrong with what a Configuration wants to run, whatever
// the devices are.
func (v *view) brokerSpec(c *v0.Configuration) {
	subject := subjectOf(Configuration, c)
	spec := c.Spec.BrokerSpec
	if spec == nil || spec.BrokerPodSpec == nil && spec.BrokerJobSpec == nil {
		v.add(Finding{Level: Note, Step: StepBroker, Cause: NoBrokerWanted, Subject: subject,
			Summary: "it has no brokerSpec: nothing is run for its devices, they are only offered as " +
				v0.ResourceName(c.Name),
			Remedy: Remedy{Text: "a Pod of your own asks for it in its limits", See: "docs/use-a-device.md"}})
		return
	}
	if spec.BrokerPodSpec == nil {
		return
	}
	template, err := workload.ParsePod(spec.BrokerPodSpec.Raw)
	if err != nil {
		if v.ref(subject, BrokerSpecRefused, QuotaExceeded, PodSecurityForbids) == nil {
			f := Finding{Level: Problem, Step: StepBroker, Cause: BrokerSpecRefused, Subject: subject,
				Summary: "its brokerPodSpec is wrong: " + oneLine(err.Error()),
				Remedy:  Remedy{Commands: []string{"akri check -f <configuration.yaml>"}}}
			f.says(subject.String(), "spec.brokerSpec.brokerPodSpec: %v", err)
			v.add(f)
		}
		return
	}
	f := Finding{Level: Problem, Step: StepBroker, Subject: subject, Remedy: Remedy{See: "docs/configuration.md"}}
	switch {
	case template.Quantity == 0:
		f.Level, f.Cause, f.Summary = Warning, BrokerAsksNothing, "its broker asks for no slot, so it runs and "+
			"gets no device"
		f.Remedy.Text = `give a container the limit "{{PLACEHOLDER}}": "1"`
		f.says(subject.String(), "no container of brokerPodSpec asks for %s", v0.Placeholder)
	case template.Quantity > int64(c.Slots()):
		f.Cause, f.Summary = BrokerAsksTooMany, fmt.Sprintf("its broker asks for %d slots, and a device has %d",
			template.Quantity, c.Slots())
		f.Remedy.Text = "lower the quantity of {{PLACEHOLDER}}, or raise spec.capacity"
		f.says(subject.String(), "spec.capacity is %d", c.Slots())
	default:
		return
	}
	v.add(f)
}

// broker finds why a device has no broker. How one runs that is there, pod says.
func (v *view) broker(inst *v0.Instance) {
	c := v.configurations[configurationKey(inst)]
	if c == nil || c.Spec.BrokerSpec == nil || inst.DeletionTimestamp != nil || !v.saw(ReadPods) ||
		v.Now.Sub(inst.CreationTimestamp.Time) < settleTime {
		return
	}
	switch spec := c.Spec.BrokerSpec; {
	case spec.BrokerJobSpec != nil:
		v.job(c, inst)
	case spec.BrokerPodSpec != nil && len(v.brokers[keyOf(inst)]) == 0:
		v.noBroker(c, inst)
	}
}

func (v *view) noBroker(c *v0.Configuration, inst *v0.Instance) {
	subject := subjectOf(Device, inst)
	f := Finding{Level: Problem, Step: StepBroker, Cause: BrokerMissing, Subject: subject,
		Summary: "it has no broker",
		Remedy: Remedy{Commands: []string{
			fmt.Sprintf("kubectl -n %s describe akrii %s", inst.Namespace, inst.Name),
			logsOf(v.namespace(), NameController)}}}
	taken := v.eventsOf("Instance", inst, "BrokerNameTaken")
	failed := v.eventsOf("Instance", inst, "BrokerFailed", "BrokerDenied", "BrokerUnschedulable")
	cordoned := v.unusable(inst)
	refused := v.ref(subjectOf(Configuration, c), BrokerSpecRefused, QuotaExceeded, PodSecurityForbids, BrokerAsksTooMany)
	switch {
	case v.offlineRef(inst) != nil:
		f.Summary, f.Because = "it has no broker while its device is missing", v.offlineRef(inst)
		if f.Because.Cause == DeviceUnknown {
			f.Summary = "it has no broker, and nobody knows whether its device is there"
		}
	case v.controllerRef() != nil:
		f.Because = v.controllerRef()
	case refused != nil:
		f.Because = refused
	case len(taken) > 0:
		f.Cause, f.Summary = BrokerNameTaken, "it has no broker, because another Pod has its name"
		f.Remedy = Remedy{Text: "rename or delete that Pod"}
		f.says("Event BrokerNameTaken, "+v.ago(taken[0].Last)+" ago", "%s", taken[0].Note)
	case v.free(inst) == 0 && inst.Spec.Shared:
		f.Cause, f.Summary = SlotsHeld, "it has no broker, because "+allHeld(int(inst.Spec.Capacity))
		f.Remedy = Remedy{Text: "a broker is made when one is free; for more users at a time, raise spec.capacity"}
		v.heldBy(&f, inst)
	case len(cordoned) > 0:
		f.Summary = "it has no broker, because its nodes take no new Pods: " + names(cordoned)
		f.Because = v.ref(nodeSubject(cordoned[0]), NodeCordoned, NodeNotReady)
		f.Remedy = Remedy{Commands: []string{"kubectl describe node " + cordoned[0]}}
	case len(failed) > 0:
		f.Cause, f.Summary = BrokerBackOff, "its broker has failed, and the next one waits, up to 5 minutes"
		for _, e := range failed {
			f.says("Event "+e.Reason+", "+v.ago(e.Last)+" ago", "%s", e.Note)
		}
	}
	if len(f.Evidence) == 0 {
		f.says("Pods", "none has the label %s=%s", v0.LabelInstance, inst.Name)
	}
	v.add(f)
}

// unusable returns the nodes of a shared device, if none of them takes new Pods.
func (v *view) unusable(inst *v0.Instance) []string {
	if !inst.Spec.Shared || !v.saw(ReadNodes) {
		return nil
	}
	usable := slices.ContainsFunc(inst.Spec.Nodes, func(name string) bool {
		n := v.nodes[name]
		return n != nil && !n.Spec.Unschedulable && !v.lost(name)
	})
	if usable {
		return nil
	}
	return inst.Spec.Nodes
}

func (v *view) offlineRef(inst *v0.Instance) *Ref {
	return v.ref(subjectOf(Device, inst), DeviceOffline, DeviceUnknown)
}

func (v *view) controllerRef() *Ref {
	if r := v.ref(Subject{Kind: "Deployment", Name: "akri-controller-deployment"}, ControllerNotReady); r != nil {
		return r
	}
	return v.ref(subjectOf("Deployment", v.anyController()), ControllerNotReady)
}

// job finds what is wrong with the Job of a device.
func (v *view) job(c *v0.Configuration, inst *v0.Instance) {
	jobs := v.jobs[keyOf(inst)]
	if len(jobs) == 0 {
		if inst.Annotations[v0.AnnotationBrokerJob] == "" && v.saw(ReadJobs) {
			v.noBroker(c, inst)
		}
		return
	}
	for _, j := range jobs {
		f := Finding{Level: Problem, Step: StepBroker, Subject: subjectOf("Job", j),
			Remedy: Remedy{Commands: []string{fmt.Sprintf("kubectl -n %s describe job %s", j.Namespace, j.Name)}}}
		for _, cond := range j.Status.Conditions {
			switch {
			case cond.Status != corev1.ConditionTrue:
				continue
			case cond.Type == batchv1.JobFailed:
				f.Cause, f.Summary = JobFailed, "it has failed: "+or(cond.Reason, "no reason given")
				f.Remedy.Text = "it is not made again: mend its cause, then remove the annotation " +
					v0.AnnotationBrokerJob + " of the Instance"
				f.Remedy.Commands = append(f.Remedy.Commands,
					fmt.Sprintf("kubectl -n %s delete job %s", j.Namespace, j.Name),
					fmt.Sprintf("kubectl -n %s annotate akrii %s %s-", inst.Namespace, inst.Name,
						v0.AnnotationBrokerJob))
			case cond.Type == batchv1.JobSuspended:
				f.Level, f.Cause, f.Summary = Warning, JobSuspended, "it is suspended"
			default:
				continue
			}
			f.says("condition "+string(cond.Type), "%s: %s", cond.Reason, cond.Message)
			f.says(f.Subject.String(), "of %s", subjectOf(Device, inst))
			v.add(f)
		}
	}
}

// service reports a Service that should be there.
func (v *view) service(inst *v0.Instance) {
	c := v.configurations[configurationKey(inst)]
	if c == nil || c.Spec.InstanceServiceSpec == nil || !v.saw(ReadServices) || len(v.brokers[keyOf(inst)]) == 0 ||
		v.Now.Sub(inst.CreationTimestamp.Time) < settleTime || inst.DeletionTimestamp != nil {
		return
	}
	name := workload.ServiceName(inst.Name)
	for i := range v.Services {
		if v.Services[i].Name == name && v.Services[i].Namespace == inst.Namespace {
			return
		}
	}
	f := Finding{Level: Problem, Step: StepService, Cause: ServiceMissing, Subject: subjectOf(Device, inst),
		Summary: "it has no Service " + name, Because: v.controllerRef(),
		Remedy: Remedy{Commands: []string{fmt.Sprintf("kubectl -n %s describe akric %s", c.Namespace, c.Name)}}}
	if f.Because == nil {
		f.Because = v.ref(subjectOf(Configuration, c), ServiceRefused)
	}
	f.says("Services", "none in %s is called %s", inst.Namespace, name)
	v.add(f)
}

package labs

import "slices"

// Lab is a document as a list of steps.
type Lab struct {
	Name   string // of the make target, and of the page in docs/labs
	Title  string
	Source string // what is replayed
	// Cameras is how many the document has.
	Cameras int
	Steps   []Step
	Done    string // what the document prints at its end
}

// Step is a step of a document.
type Step struct {
	Title string // the document's, or "" for a step that is ours
	// Commands are those for a real cluster.
	Commands []string
	// Here are the commands on this machine, if they are others; none is
	// []string{}.
	Here []string
	// Simulated are those with simulated cameras, if they are others again.
	Simulated []string
	// Differs says what stands in here, and why.
	Differs string
	Do      Deed
	Check   Check
	Mark    string // what the document prints after the step
	// CleanUp is for steps that wait until the person has seen the page.
	CleanUp bool
}

// here returns the commands on this machine.
func (s Step) here(simulated bool) []string {
	switch {
	case simulated && s.Simulated != nil:
		return s.Simulated
	case s.Here != nil:
		return s.Here
	}
	return s.Commands
}

// nothing is for steps without commands here.
var nothing = []string{}

// Deed is something that the program does itself, before the commands of a step.
type Deed string

// The deeds.
const (
	MakeCluster    Deed = "make a cluster on this machine"
	LoadImages     Deed = "build the images and load them into the node"
	ConnectCameras Deed = "connect the cameras"
)

// Check is what must be so after the commands of a step.
type Check string

// The checks.
const (
	BrokersRun  Check = "each camera has an Instance, and its broker runs"
	PageShows   Check = "the page has the words that the documents look for, and all pictures on it change"
	NothingLeft Check = "nothing of Akri is left in the cluster"
)

// What both documents have in common.
const (
	app = "akri-video-streaming-app"
	// usb is the documents' Configuration, and network the one that stands in.
	usb, network = "akri-udev-video", "akri-onvif-video"

	applyApp     = "kubectl apply -f samples/apps/video-streaming/video-streaming.yaml"
	applyAppHere = "sed 's/value: akri-udev-video/value: akri-onvif-video/' samples/apps/video-streaming/video-streaming.yaml | kubectl apply -f -"
)

// simulated are the values that let simulated network cameras stand in: they are
// added to the documents' own, which find nothing then.
const simulated = ` \
  --set onvif.discovery.enabled=true \
  --set onvif.configuration.enabled=true \
  --set onvif.configuration.name=akri-onvif-video \
  --set onvif.configuration.brokerPod.image.repository="ghcr.io/akri-go/akri/onvif-video-broker" \
  --set onvif.configuration.brokerPod.image.tag=v0.1.0`

const standIn = "without a camera on this machine, simulated network cameras stand in: values for onvif are added, and the " +
	"rule for USB cameras, which is there too, finds nothing"

// All returns the labs.
func All() []Lab { return []Lab{k3s(), microk8s()} }

// Find returns a lab by its name.
func Find(name string) (Lab, bool) {
	all := All()
	i := slices.IndexFunc(all, func(l Lab) bool { return l.Name == name })
	if i < 0 {
		return Lab{}, false
	}
	return all[i], true
}

package labs

const loopback = "sudo modprobe v4l2loopback exclusive_caps=1 devices=2 video_nr=1,2"

const microk8sInstall = `microk8s helm3 install akri charts/akri \
  --set agent.host.crictl=/usr/local/bin/crictl \
  --set agent.host.dockerShimSock=/var/snap/microk8s/common/run/containerd.sock \
  --set udev.discovery.enabled=true \
  --set udev.configuration.enabled=true \
  --set udev.configuration.name=akri-udev-video \
  --set udev.configuration.discoveryDetails.udevRules[0]='KERNEL=="video[0-9]*"' \
  --set udev.configuration.brokerPod.image.repository="ghcr.io/akri-go/akri/udev-video-broker" \
  --set udev.configuration.brokerPod.image.tag=v0.1.0`

// What the workflow prints after each of its two parts, and at its end.
const (
	firstPart  = "<-<step-completed>-> 1"
	secondPart = "<-<step-completed>-> 2"
	completed  = "<-<script-completed>->"
)

// microk8s is the workflow "Akri on MicroK8s", with its 16 steps.
func microk8s() Lab {
	return Lab{
		Name: "microk8s", Title: "Akri on MicroK8s", Cameras: 2, Done: completed,
		Source: "the workflow of that name (2020): a fresh machine with MicroK8s, and two cameras that are test streams",
		Steps: []Step{
			{Title: "1. Start the instance", Differs: "it is this machine"},
			{
				Title:    "2. Update all packages",
				Commands: []string{"sudo apt update && sudo apt upgrade -y"}, Here: nothing,
				Differs: "this machine's packages are left as they are",
			},
			{Title: "3. Upload the script", Differs: "it is this program"},
			{Title: "4. Install crictl", Differs: "Akri does not use the container runtime any more"},
			{
				Title:    "5. Install v4l2loopback",
				Commands: []string{`sudo apt install -y v4l2loopback-dkms "linux-modules-extra-$(uname -r)"`}, Here: nothing,
				Differs: "no kernel module is installed: the cameras are simulated, or those that the machine has",
			}, {
				Title:    "6. Make two video devices",
				Commands: []string{loopback, "ls -l /dev/video1 /dev/video2"}, Here: nothing,
				Differs: "no kernel module is loaded",
			}, {
				Title:    "7. Install GStreamer",
				Commands: []string{"sudo apt install -y gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"}, Here: nothing,
				Differs: "simulated cameras make their pictures themselves",
			}, {
				Commands: []string{"sudo snap install microk8s --classic", "sudo microk8s status --wait-ready", "sudo usermod -a -G microk8s $USER"},
				Here:     nothing,
				Differs:  "a cluster of akri dev stands in for MicroK8s: the same kubelet and containerd, as programs of their own",
				Do:       MakeCluster,
			}, {
				Title:    "8. Reboot if needed",
				Commands: []string{"if [ -f /var/run/reboot-required ]; then sudo reboot; fi"}, Here: nothing,
				Differs: "nothing was installed that needs it",
				Mark:    firstPart,
			}, {
				Title:    "9. Reconnect, as a member of the group microk8s",
				Commands: []string{"groups | grep microk8s"}, Here: nothing,
				Differs: "root needs no group",
			}, {
				Title:    "10. Make the two video devices again",
				Commands: []string{loopback}, Here: nothing,
				Differs: "as above",
			}, {
				Title: "11. Start a test stream on each",
				Commands: []string{
					"gst-launch-1.0 -q videotestsrc pattern=ball ! video/x-raw,width=640,height=480,framerate=10/1 ! jpegenc ! v4l2sink device=/dev/video1 &",
					"gst-launch-1.0 -q videotestsrc pattern=smpte horizontal-speed=1 ! video/x-raw,width=640,height=480,framerate=10/1 ! jpegenc ! v4l2sink device=/dev/video2 &",
				},
				Here:    nothing,
				Differs: "two simulated network cameras are started, unless the machine has cameras",
				Do:      ConnectCameras,
			}, {
				Title:    "12. Enable add-ons",
				Commands: []string{"microk8s enable dns rbac helm3 dashboard"}, Here: nothing,
				Differs: "DNS and RBAC are there, and Helm is in this program; Kubernetes' dashboard needs the network, so it is left out",
			}, {
				Commands: []string{"make images", `for f in out/images/*-amd64.tar; do microk8s ctr image import "$f"; done`}, Here: nothing,
				Differs: "not in the document: images are not published yet",
				Do:      LoadImages,
			}, {
				Title:    "13. Install Akri by its chart",
				Commands: []string{microk8sInstall}, Simulated: []string{microk8sInstall + simulated},
				Differs: standIn,
				Check:   BrokersRun,
			}, {
				Title: "14. Check what the chart has installed",
				Commands: []string{
					"microk8s kubectl wait --for=condition=Available --timeout=300s deployment.apps/akri-controller-deployment -n default",
					"microk8s kubectl get akric,akrii -o wide",
				},
			}, {
				Title:    "15. Deploy the video application",
				Commands: []string{"microk8s " + applyApp}, Simulated: []string{applyAppHere},
				Differs: "the application shows the Configuration that stands in",
			}, {
				Title: "16. Check that it works",
				Commands: []string{
					"microk8s kubectl wait --for=condition=Available --timeout=300s deployment.apps/akri-video-streaming-app -n default",
					"microk8s kubectl port-forward service/akri-video-streaming-app 12321:80 &",
					"curl -s --retry 10 --retry-connrefused --retry-delay 1 localhost:12321 | grep Akri",
					"curl -s localhost:12321 | grep camera_frame_feed",
				},
				Check: PageShows,
				Mark:  secondPart,
			},
		},
	}
}

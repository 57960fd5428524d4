package labs

const k3sInstall = `helm install akri charts/akri $AKRI_HELM_CRICTL_CONFIGURATION \
  --set udev.discovery.enabled=true \
  --set udev.configuration.enabled=true \
  --set udev.configuration.name=akri-udev-video \
  --set udev.configuration.discoveryDetails.udevRules[0]='KERNEL=="video[0-9]*"' \
  --set udev.configuration.brokerPod.image.repository="ghcr.io/akri-go/akri/udev-video-broker" \
  --set udev.configuration.brokerPod.image.tag=v0.1.0`

// removeRest removes what of the application the document leaves: its service account.
const removeRest = "kubectl delete -f samples/apps/video-streaming/video-streaming.yaml --ignore-not-found"

// k3s is the lab of the talk "IoT at the Edge with K3s and Akri", with its headings.
func k3s() Lab {
	return Lab{
		Name: "k3s", Title: "IoT at the Edge with K3s and Akri", Cameras: 1,
		Source: "the laboratory of the talk of that name (KCD Spain 2023): an edge node with K3s and a webcam",
		Steps: []Step{
			{
				Title:    "SSH en el nodo Edge e instalar K3s",
				Commands: []string{"curl -sfL https://get.k3s.io | sh -"}, Here: nothing,
				Differs: "a cluster of akri dev stands in for K3s: the same kubelet and containerd, as programs of their own",
				Do:      MakeCluster,
			}, {
				Title:    "Configurar Kubeconfig",
				Commands: []string{"export KUBECONFIG=/etc/rancher/k3s/k3s.yaml"}, Here: nothing,
				Differs: "KUBECONFIG is that of this cluster",
			}, {
				Commands: []string{"make images", `for f in out/images/*-amd64.tar; do k3s ctr images import "$f"; done`}, Here: nothing,
				Differs: "not in the document: images are not published yet",
				Do:      LoadImages,
			}, {
				Title:   "Instalar Akri Helm repo",
				Differs: "there is none yet: the chart is that of this checkout",
			}, {
				Title:   "Actualizar helm",
				Differs: "nothing to update",
			}, {
				Title:    "Configurar crictl para K3s",
				Commands: []string{`export AKRI_HELM_CRICTL_CONFIGURATION="--set kubernetesDistro=k3s"`, "echo $AKRI_HELM_CRICTL_CONFIGURATION"},
			}, {
				Title:    "Instalar & configurar Akri",
				Commands: []string{k3sInstall}, Simulated: []string{k3sInstall + simulated},
				Differs: standIn,
				Do:      ConnectCameras, Check: BrokersRun,
			}, {
				Title: "Control",
				Commands: []string{
					"kubectl get -o wide pods | grep controller",
					"kubectl get -o wide pods | grep agent",
					"kubectl get nodes,akric,akrii,pods -o wide",
				},
			}, {
				Title:    "Desplegar la aplicación de video",
				Commands: []string{applyApp}, Simulated: []string{applyAppHere},
				Differs: "the application shows the Configuration that stands in",
			}, {
				Title:    "Espera hasta que los pods estén activos",
				Commands: []string{"kubectl wait --for=condition=Available deployment/akri-video-streaming-app --timeout=300s", "kubectl get pods"},
			}, {
				Title:    "Puerto de la streaming app",
				Commands: []string{`kubectl get service/akri-video-streaming-app --output=jsonpath='{.spec.ports[?(@.name=="http")].nodePort}' && echo`},
			}, {
				Title:    "SSH forwarding para acceder la aplicación",
				Commands: []string{"ssh user@<edge node IP address> -L 50000:localhost:<streaming-app-port>"}, Here: nothing,
				Differs: "this machine reaches the node without ssh",
				Check:   PageShows,
			}, {
				Title: "Desinstalar la aplicación de vídeo",
				Commands: []string{
					"kubectl delete service akri-video-streaming-app",
					"kubectl delete deployment akri-video-streaming-app",
					"kubectl delete akric akri-udev-video",
					"kubectl wait --for=delete pods -l akri.sh/configuration=akri-udev-video --timeout=120s",
					"kubectl get pods,services,akric,akrii -o wide",
					removeRest,
				},
				Simulated: []string{
					"kubectl delete service akri-video-streaming-app",
					"kubectl delete deployment akri-video-streaming-app",
					"kubectl delete akric akri-udev-video akri-onvif-video",
					"kubectl wait --for=delete pods -l akri.sh/configuration=akri-onvif-video --timeout=120s",
					"kubectl get pods,services,akric,akrii -o wide",
					removeRest,
				},
				Differs: "the Configuration that stands in is deleted too",
				CleanUp: true,
			}, {
				Title:    "Desinstalar Akri",
				Commands: []string{"helm delete akri", "kubectl delete crd instances.akri.sh", "kubectl delete crd configurations.akri.sh"},
				Check:    NothingLeft, CleanUp: true,
			},
		},
	}
}

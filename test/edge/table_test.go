//go:build e2e

package edge

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/devcluster"
)

// The workloads of a table, which are also the app labels of their Pods.
const (
	web    = "web"    // a Deployment with a Service, 2 Pods
	each   = "each"   // a DaemonSet
	member = "member" // a StatefulSet with a headless Service, 2 Pods
	course = "course" // a Job that runs until it is told to end
	done   = "done"   // a Job that ends at once
	repeat = "repeat" // a CronJob
)

const (
	mainPort, sidecarPort = 8080, 8081
	scratchBytes          = 8 << 20
	// tableDir is where the containers of tables leave notes on the edge node, a
	// folder for each table.
	tableDir = "/var/lib/akri-tables"
)

// table is one of each kind of workload on an edge node, with what Kubernetes
// gives to containers: configuration, hooks, probes, storage, other containers.
type table struct {
	e     *devcluster.EdgeNode
	ns    string
	probe string // the program, on the edge node
	webIP string // of the Service
}

// lay makes all but the CronJob, which would have its Pod come at any time.
func lay(t *testing.T, e *devcluster.EdgeNode) *table {
	t.Helper()
	w := &table{e: e, ns: bed.NewNamespace(t), probe: buildProbe(t)}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: w.ns, Labels: map[string]string{"app": name}}
	}
	selector := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}
	pods := func(name string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: w.pod(name)}
	}
	service := func(name, clusterIP string) *corev1.Service {
		return &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{ClusterIP: clusterIP, Selector: map[string]string{"app": name},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(mainPort)}}}}
	}
	running := pods(course)
	running.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	reached := service(web, "")
	for _, o := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: meta("config"), Data: map[string]string{message: "first"}},
		&corev1.Secret{ObjectMeta: meta("secret"), Data: map[string][]byte{message: []byte("hidden")}},
		reached, service(member, corev1.ClusterIPNone),
		&appsv1.Deployment{ObjectMeta: meta(web), Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2), Selector: selector(web), Template: pods(web)}},
		&appsv1.DaemonSet{ObjectMeta: meta(each), Spec: appsv1.DaemonSetSpec{Selector: selector(each), Template: pods(each)}},
		&appsv1.StatefulSet{ObjectMeta: meta(member), Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](2), ServiceName: member,
			Selector: selector(member), Template: pods(member)}},
		&batchv1.Job{ObjectMeta: meta(course), Spec: batchv1.JobSpec{Template: running}},
		&batchv1.Job{ObjectMeta: meta(done), Spec: batchv1.JobSpec{Template: w.short(done)}},
	} {
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.webIP = reached.Spec.ClusterIP
	return w
}

// pod is a Pod whose container uses all that Kubernetes gives it.
func (w *table) pod(app string) corev1.PodSpec {
	volume := func(name string, source corev1.VolumeSource) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: source}
	}
	own := func(name string, field string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}}
	}
	at := func(path string, port int32) corev1.ProbeHandler {
		return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port)}}
	}
	note := func(file, text string) *corev1.LifecycleHandler {
		return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/probe", "note", file, text}}}
	}
	storage := corev1.ResourceList{corev1.ResourceEphemeralStorage: *resource.NewQuantity(scratchBytes, resource.BinarySI)}
	limit := corev1.ResourceList{corev1.ResourceEphemeralStorage: *resource.NewQuantity(4*scratchBytes, resource.BinarySI)}
	mounts := []corev1.VolumeMount{{Name: "config", MountPath: "/config"}, {Name: "secret", MountPath: "/secret"}, {Name: "about", MountPath: "/about"},
		{Name: "scratch", MountPath: "/scratch"}, {Name: "memory", MountPath: "/memory"}, {Name: "host", MountPath: "/host"}}
	return corev1.PodSpec{
		NodeSelector:                 map[string]string{corev1.LabelHostname: w.e.Name},
		AutomountServiceAccountToken: ptr.To(false), // it has the projected one
		EnableServiceLinks:           ptr.To(false),
		InitContainers: []corev1.Container{
			{Name: "first", Image: probeImage, Args: []string{"note", "/scratch/log", "first"}, VolumeMounts: mounts},
			{Name: "sidecar", Image: probeImage, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
				Env:          []corev1.EnvVar{{Name: "LISTEN", Value: fmt.Sprint(":", sidecarPort)}},
				StartupProbe: &corev1.Probe{ProbeHandler: at("/healthz", sidecarPort), PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: 60}},
		},
		Containers: []corev1.Container{{
			Name: "main", Image: probeImage, VolumeMounts: mounts,
			EnvFrom: []corev1.EnvFromSource{
				{Prefix: "CONFIG_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}},
				{Prefix: "SECRET_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}}},
			},
			Env: []corev1.EnvVar{own("NAME", "metadata.name"), own("NODE", "spec.nodeName"), own("IP", "status.podIP"),
				{Name: "STORAGE", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "requests.ephemeral-storage"}}}},
			Resources: corev1.ResourceRequirements{Requests: storage, Limits: limit},
			StartupProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{
				Command: []string{"/probe", "get", fmt.Sprintf("http://127.0.0.1:%d/healthz", mainPort)}}}, PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: 60},
			LivenessProbe:  &corev1.Probe{ProbeHandler: at("/healthz", mainPort), PeriodSeconds: 2, TimeoutSeconds: 60, FailureThreshold: 2},
			ReadinessProbe: &corev1.Probe{ProbeHandler: at("/", mainPort), PeriodSeconds: 1, TimeoutSeconds: 10},
			Lifecycle:      &corev1.Lifecycle{PostStart: note("/scratch/log", "postStart"), PreStop: note("/host/"+app, "preStop")},
		}},
		Volumes: []corev1.Volume{
			volume("config", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}),
			volume("secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "secret"}}),
			volume("about", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
			}}}),
			volume("scratch", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: resource.NewQuantity(2*scratchBytes, resource.BinarySI)}}),
			volume("memory", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}),
			w.host(),
		},
	}
}

// host is the folder of the edge node in which containers leave notes.
func (w *table) host() corev1.Volume {
	return corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: tableDir + "/" + w.ns, Type: ptr.To(corev1.HostPathDirectoryOrCreate)}}}
}

// short is a Pod that leaves a note and ends.
func (w *table) short(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{corev1.LabelHostname: w.e.Name}, RestartPolicy: corev1.RestartPolicyNever,
		AutomountServiceAccountToken: ptr.To(false), EnableServiceLinks: ptr.To(false),
		Containers: []corev1.Container{{Name: "main", Image: probeImage, Args: []string{"note", "/host/" + app, "ran"},
			VolumeMounts: []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}}},
		Volumes: []corev1.Volume{w.host()},
	}}
}

// cron makes a CronJob that is due each minute.
func (w *table) cron(t *testing.T) {
	t.Helper()
	c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: repeat, Namespace: w.ns}, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: w.short(repeat)}}}}
	if err := api.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// change changes the ConfigMap.
func (w *table) change(t *testing.T, to string) {
	t.Helper()
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config", Namespace: w.ns}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"data":{%q:%q}}`, message, to))
	if err := api.Patch(t.Context(), c, patch); err != nil {
		t.Fatal(err)
	}
}

package charts

import (
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func tryRenderCloudcore(t *testing.T, set ...string) (map[string]string, error) {
	t.Helper()
	values := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, values); err != nil {
			t.Fatalf("--set %s: %v", s, err)
		}
	}
	c := loadFrom(t, Cloudcore)
	release := common.ReleaseOptions{Name: "cc", Namespace: "edge", Revision: 1, IsInstall: true}
	top, err := chartutil.ToRenderValues(c, values, release, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.RenderWithContext(t.Context(), c, top)
}

func renderCloudcore(t *testing.T, set ...string) rendered {
	t.Helper()
	out, err := tryRenderCloudcore(t, set...)
	if err != nil {
		t.Fatalf("render %q: %v", set, err)
	}
	return parse(t, out)
}

func TestCloudcoreLint(t *testing.T) {
	for _, m := range lint.RunAll("cloudcore", map[string]any{}, "edge").Messages {
		if m.Severity > support.InfoSev {
			t.Error(m)
		}
	}
}

// Both charts are of one release.
func TestCloudcoreVersion(t *testing.T) {
	akri, cloudcore := load(t).Metadata, loadFrom(t, Cloudcore).Metadata
	if akri.Version != cloudcore.Version || akri.AppVersion != cloudcore.AppVersion {
		t.Errorf("akri is %s (%s), cloudcore %s (%s)", akri.Version, akri.AppVersion, cloudcore.Version,
			cloudcore.AppVersion)
	}
}

func TestCloudcoreObjects(t *testing.T) {
	want := []string{
		"ClusterRole/cloudcore", "ClusterRoleBinding/cloudcore", "ConfigMap/cloudcore", "Deployment/cloudcore",
		"PodDisruptionBudget/cloudcore", "Role/cloudcore", "RoleBinding/cloudcore", "Secret/cloudcore", "Service/cloudcore",
		"ServiceAccount/cloudcore", "ValidatingAdmissionPolicy/cloudcore-nodes", "ValidatingAdmissionPolicy/cloudcore-pods",
		"ValidatingAdmissionPolicyBinding/cloudcore-nodes", "ValidatingAdmissionPolicyBinding/cloudcore-pods",
	}
	if got := renderCloudcore(t).names(); !slices.Equal(got, want) {
		t.Errorf("rendered are %v, want %v", got, want)
	}
	few := renderCloudcore(t, "replicas=1", "rbac.enabled=false", "policies.enabled=false",
		"prometheus.enabled=true").names()
	want = []string{"ConfigMap/cloudcore", "Deployment/cloudcore", "PodMonitor/cloudcore", "Secret/cloudcore",
		"Service/cloudcore", "ServiceAccount/cloudcore"}
	if !slices.Equal(few, want) {
		t.Errorf("rendered are %v, want %v", few, want)
	}
}

func TestCloudcoreDeployment(t *testing.T) {
	r := renderCloudcore(t, "image.tag=x", "config.logLevel=debug", "config.hub.maxNodes=30000000",
		"config.controller.autonomy=false",
		"nodeSelectors.pool=infra", "resources.memoryLimit=2Gi", "service.type=NodePort", "service.nodePorts.hub=30000")
	d := r.deployment(t, "cloudcore")
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	if *d.Spec.Replicas != 2 || c.Image != "ghcr.io/akri-go/akri/cloudcore:x" ||
		c.Resources.Limits.Memory().String() != "2Gi" {
		t.Errorf("%d replicas of %s, %v", *d.Spec.Replicas, c.Image, c.Resources)
	}
	if pod.NodeSelector["pool"] != "infra" || pod.NodeSelector["kubernetes.io/os"] != "linux" {
		t.Errorf("nodes %v", pod.NodeSelector)
	}
	never := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(never) != 1 || never[0].MatchExpressions[0].Key != "node-role.kubernetes.io/edge" ||
		never[0].MatchExpressions[0].Operator != corev1.NodeSelectorOpDoesNotExist {
		t.Errorf("it may run on edge nodes: %v", never)
	}
	if s := c.SecurityContext; !*s.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation {
		t.Errorf("%+v", s)
	}
	var config struct {
		Hub        struct{ MaxNodes int }
		Controller struct{ Autonomy *bool }
		LogLevel   string
	}
	text := decode[corev1.ConfigMap](t, r, "ConfigMap/cloudcore").Data["cloudcore.yaml"]
	if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil || config.Hub.MaxNodes != 30_000_000 ||
		*config.Controller.Autonomy || config.LogLevel != "debug" {
		t.Errorf("configuration %s (%v)", text, err)
	}
	other := renderCloudcore(t, "image.tag=x").deployment(t, "cloudcore")
	if a, b := d.Spec.Template.Annotations, other.Spec.Template.Annotations; a["checksum/config"] == b["checksum/config"] {
		t.Error("another configuration does not restart cloudcore")
	}
	service := decode[corev1.Service](t, r, "Service/cloudcore")
	if p := service.Spec.Ports; len(p) != 2 || p[0].Port != 10000 || p[0].NodePort != 30000 ||
		p[1].Port != 10002 || p[1].NodePort != 0 {
		t.Errorf("ports %v", p)
	}
	for _, p := range service.Spec.Ports {
		if !slices.ContainsFunc(c.Ports, func(c corev1.ContainerPort) bool {
			return c.Name == p.TargetPort.StrVal &&
				c.ContainerPort == p.Port
		}) {
			t.Errorf("no container has port %s", p.TargetPort.StrVal)
		}
	}
	budget := decode[policyv1.PodDisruptionBudget](t, r, "PodDisruptionBudget/cloudcore")
	for k, v := range budget.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[k] != v || service.Spec.Selector[k] != v {
			t.Errorf("label %s", k)
		}
	}
}

// The rights are these and no others: a new one is a decision.
func TestCloudcoreRights(t *testing.T) {
	rights := func(rules []rbacv1.PolicyRule) (all []string) {
		for _, r := range rules {
			for _, resource := range r.Resources {
				line := strings.Join(r.APIGroups, ",") + " " + resource + " " + strings.Join(r.Verbs, ",")
				if len(r.ResourceNames) > 0 {
					line += " of " + strings.Join(r.ResourceNames, ",")
				}
				all = append(all, strings.TrimSpace(line))
			}
		}
		return all
	}
	r := renderCloudcore(t)
	want := []string{
		"pods watch,patch", "nodes get,watch,patch", "namespaces watch", "certificates.k8s.io podcertificaterequests watch",
		"authorization.k8s.io subjectaccessreviews create", "users impersonate", "serviceaccounts impersonate",
		"groups impersonate of system:nodes",
		"authentication.k8s.io userextras/authentication.kubernetes.io/node-name impersonate",
		"authentication.k8s.io userextras/authentication.kubernetes.io/pod-name impersonate",
		"authentication.k8s.io userextras/authentication.kubernetes.io/pod-uid impersonate",
	}
	if got := rights(decode[rbacv1.ClusterRole](t, r, "ClusterRole/cloudcore").Rules); !slices.Equal(got, want) {
		t.Errorf("rights are %q, want %q", got, want)
	}
	if got := rights(decode[rbacv1.Role](t, r, "Role/cloudcore").Rules); !slices.Equal(got,
		[]string{"secrets get,patch of cloudcore"}) {
		t.Errorf("rights in the Namespace are %q", got)
	}
	without := rights(decode[rbacv1.ClusterRole](t, renderCloudcore(t, "config.controller.autonomy=false"),
		"ClusterRole/cloudcore").Rules)
	if !slices.Contains(without, "pods watch") {
		t.Errorf("without autonomy rights are %q", without)
	}
}

func TestCloudcoreSecretStays(t *testing.T) {
	s := decode[corev1.Secret](t, renderCloudcore(t), "Secret/cloudcore")
	if s.Annotations["helm.sh/resource-policy"] != "keep" || len(s.Data)+len(s.StringData) > 0 {
		t.Errorf("%+v", s)
	}
	r := renderCloudcore(t, "secret.keep=false")
	if s := decode[corev1.Secret](t, r, "Secret/cloudcore"); len(s.Annotations) > 0 || !strings.Contains(r.notes,
		"must join again") {
		t.Errorf("%+v, %s", s, r.notes)
	}
}

func TestCloudcoreRefused(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"replica=1", "replica"},
		{"replicas=0", "replicas"},
		{"config.hub.address=:1", "address"},
		{"config.logLevel=loud", "logLevel"},
		{"config.controller.autonomie=true", "autonomie"},
		{"service.type=Host", "type"},
		{"service.nodePorts.hub=70000", "hub"},
		{"resources.memoryLimit=lots", "memoryLimit"},
	} {
		if _, err := tryRenderCloudcore(t, c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--set %s: error %v, want one that names %q", c.set, err, c.want)
		}
	}
}

package edgedemo

import (
	"context"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const (
	namespace  = "default"
	app        = "edge-demo"
	versionKey = "version"
	port       = 8083
)

// deploy makes the application unless it is there: a small web server on each edge
// node, with a ConfigMap and a Secret.
func (d *demo) deploy(ctx context.Context, image, version string) error {
	client, err := d.cluster.Clientset()
	if err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Name: app, Namespace: namespace}
	_, err = client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{versionKey: version}}, metav1.CreateOptions{})
	if ignored(&err); err == nil {
		_, err = client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"password": "secret"}}, metav1.CreateOptions{})
	}
	if ignored(&err); err == nil {
		_, err = client.AppsV1().DaemonSets(namespace).Create(ctx, daemonSet(meta, image, version), metav1.CreateOptions{})
	}
	if ignored(&err); err != nil {
		return fmt.Errorf("make the application: %w", err)
	}
	return nil
}

// ignored makes nothing of the error about what is there already.
func ignored(err *error) {
	if apierrors.IsAlreadyExists(*err) {
		*err = nil
	}
}

func daemonSet(meta metav1.ObjectMeta, image, version string) *appsv1.DaemonSet {
	labels := map[string]string{"app": app}
	from := func(prefix string, config *corev1.ConfigMapEnvSource, secret *corev1.SecretEnvSource) corev1.EnvFromSource {
		return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: config, SecretRef: secret}
	}
	name := corev1.LocalObjectReference{Name: app}
	return &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		// A node that is cut off must not hold up the others. It counts as unavailable,
		// and not among the nodes that a percentage is of, so this is a number.
		UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: ptr.To(intstr.FromInt32(2 * nodeCount))}},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{versionKey: version}},
			Spec: corev1.PodSpec{
				NodeSelector:                  map[string]string{"node-role.kubernetes.io/edge": ""},
				AutomountServiceAccountToken:  ptr.To(false),
				EnableServiceLinks:            ptr.To(false),
				TerminationGracePeriodSeconds: ptr.To[int64](1),
				Containers: []corev1.Container{{
					Name: "web", Image: image, ImagePullPolicy: corev1.PullNever,
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port}},
					EnvFrom: []corev1.EnvFromSource{
						from("CONFIG_", &corev1.ConfigMapEnvSource{LocalObjectReference: name}, nil),
						from("SECRET_", nil, &corev1.SecretEnvSource{LocalObjectReference: name}),
					},
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 2, TimeoutSeconds: 5,
						ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(port)}}},
				}},
			}},
	}}
}

// update gives the application its next version.
func (d *demo) update(ctx context.Context) error {
	client, err := d.cluster.Clientset()
	if err != nil {
		return err
	}
	c, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, app, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now, err := strconv.Atoi(c.Data[versionKey])
	if err != nil {
		return fmt.Errorf("the application's version: %w", err)
	}
	patch := fmt.Appendf(nil, `{"data":{%q:"%d"}}`, versionKey, now+1)
	if _, err := client.CoreV1().ConfigMaps(namespace).Patch(ctx, app, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	patch = fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{%q:"%d"}}}}}`, versionKey, now+1)
	_, err = client.AppsV1().DaemonSets(namespace).Patch(ctx, app, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

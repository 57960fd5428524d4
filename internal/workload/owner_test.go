package workload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOwner(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		ref  metav1.OwnerReference
		want bool
	}{
		{metav1.OwnerReference{APIVersion: "akri.sh/v0", Kind: "Instance", Controller: &yes}, true},
		{metav1.OwnerReference{APIVersion: "akri.sh/v1", Kind: "Instance", Controller: &yes}, true},
		{metav1.OwnerReference{APIVersion: "akri.sh/v0", Kind: "Instance", Controller: &no}, false},
		{metav1.OwnerReference{APIVersion: "akri.sh/v0", Kind: "Instance"}, false},
		{metav1.OwnerReference{APIVersion: "akri.sh.example/v0", Kind: "Instance", Controller: &yes}, false},
		{metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job", Controller: &yes}, false},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{tt.ref}}}
		if got := OwnerInstance(pod) != nil; got != tt.want {
			t.Errorf("owner %+v: %t, want %t", tt.ref, got, tt.want)
		}
	}
}

package view

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTemporary(t *testing.T) {
	r := schema.GroupResource{Resource: "services"}
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"no answer", errors.New("connection refused"), true},
		{"a token that is rotated", apierrors.NewUnauthorized("token has expired"), true},
		{"too many requests", apierrors.NewTooManyRequests("later", 1), true},
		{"the server fails", apierrors.NewInternalError(errors.New("etcd")), true},
		{"another was faster", apierrors.NewConflict(r, "x", errors.New("changed")), true},
		{"gone meanwhile", apierrors.NewNotFound(r, "x"), true},
		{"wrapped", fmt.Errorf("apply: %w", apierrors.NewUnauthorized("x")), true},
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x", nil), false},
		{"a quota or policy", apierrors.NewForbidden(r, "x", errors.New("quota")), false},
		{"not understood", apierrors.NewBadRequest("x"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Temporary(tt.err); got != tt.want {
				t.Errorf("Temporary(%v) = %v", tt.err, got)
			}
		})
	}
}

func TestMissingRight(t *testing.T) {
	r := schema.GroupResource{Resource: "services"}
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"no right", apierrors.NewForbidden(r, "x", errors.New(`User "akri" cannot patch resource "services" in API group "" in the namespace "a"`)), true},
		{"a quota or policy", apierrors.NewForbidden(r, "x", errors.New("exceeded quota")), false},
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x", nil), false},
		{"no answer", errors.New("connection refused"), false},
	} {
		if got := MissingRight(tt.err); got != tt.want {
			t.Errorf("%s: MissingRight(%v) = %v", tt.name, tt.err, got)
		}
	}
}

package writer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

const (
	// MaxReplyBytes bounds what the API server answers. The link has messages of 4
	// MiB, and some of it is for the header.
	MaxReplyBytes = 4<<20 - 64<<10
	// DefaultTimeout and MaxTimeout bound a call in time.
	DefaultTimeout = 30 * time.Second
	MaxTimeout     = time.Minute
	// retryAfter is when what could not be done now may be tried again.
	retryAfter = time.Second
	// maxWarnings bounds the warnings of a reply.
	maxWarnings = 16
)

// Do makes a call as a user and returns the reply to it, always one: what went
// wrong on the way is a Status (meta/v1) of code 403, 502 or 504, or what [Check]
// says.
func Do(ctx context.Context, client *kube.Client, as kube.User, c *edgev1.Call) *edgev1.Reply {
	if err := Check(c); err != nil {
		var r *Refusal
		errors.As(err, &r)
		return Failure(c.ID, r.Code, metav1.StatusReasonForbidden, r.Reason)
	}
	if as.Itself() {
		// Cannot be: it would be made with cloudcore's rights.
		return Failure(c.ID, http.StatusForbidden, metav1.StatusReasonForbidden, "a call needs a user")
	}
	timeout := DefaultTimeout
	if c.Timeout > 0 {
		timeout = min(c.Timeout, MaxTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := client.Open(ctx, as, kube.Request{
		Method: c.Method, Path: c.Path, Query: c.Query, ContentType: c.ContentType, Accept: c.Accept, Body: c.Body,
	})
	if err != nil {
		return lost(ctx, c.ID, err)
	}
	defer resp.Body.Close()
	body, err := kube.ReadLimited(resp.Body, MaxReplyBytes)
	switch {
	case errors.Is(err, kube.ErrTooLarge):
		return Failure(c.ID, http.StatusBadGateway, metav1.StatusReasonInternalError,
			"the API server's answer has more than "+strconv.Itoa(MaxReplyBytes)+" bytes; ask for less with limit")
	case err != nil:
		return lost(ctx, c.ID, err)
	}
	reply := &edgev1.Reply{
		ID: c.ID, Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body,
		Warnings: warnings(resp.Header["Warning"]),
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		reply.RetryAfter = time.Duration(min(s, 3600)) * time.Second
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return Failure(c.ID, http.StatusBadGateway, metav1.StatusReasonInternalError,
			"the API server answers with a redirect, which is not followed")
	}
	if err := notImpersonated(resp.StatusCode, body); err != nil {
		return Failure(c.ID, http.StatusBadGateway, metav1.StatusReasonInternalError, err.Error())
	}
	return reply
}

// notImpersonated returns an error if cloudcore itself was refused, which is no
// answer to the node.
func notImpersonated(code int, body []byte) error {
	if code != http.StatusForbidden {
		return nil
	}
	if s, ok := kube.StatusOf(body); ok && strings.Contains(s.Message, "cannot impersonate") {
		return errors.New("cloudcore may not act as this user; update its roles with this release's chart: " + s.Message)
	}
	return nil
}

// lost is the reply to a call that the API server has not answered.
func lost(ctx context.Context, id uint64, err error) *edgev1.Reply {
	if ctx.Err() != nil {
		return Failure(id, http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "the API server did not answer in time")
	}
	r := Failure(id, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
		"the API server cannot be reached: "+err.Error())
	r.RetryAfter = retryAfter
	return r
}

// Failure is a reply with a Status. It says when to try again, if that is of use.
func Failure(id uint64, code int, reason metav1.StatusReason, message string) *edgev1.Reply {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
	if err != nil {
		body = nil // it has only texts and a number
	}
	r := &edgev1.Reply{ID: id, Status: code, ContentType: kube.JSON, Body: body}
	switch code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r.RetryAfter = retryAfter
	}
	return r
}

// warnings returns the texts of Warning headers.
func warnings(headers []string) (out []string) {
	parsed, _ := utilnet.ParseWarningHeaders(headers) // those that are well formed
	for _, w := range parsed[:min(len(parsed), maxWarnings)] {
		out = append(out, w.Text)
	}
	return out
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/protobuf"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }

// call makes a request to the cloud. Its error is an answer for the client.
func (s *Server) call(ctx context.Context, c edgev1.Call) (edgev1.Reply, error) {
	if c.Timeout <= 0 || c.Timeout > callTimeout {
		c.Timeout = callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout+2*time.Second) // the cloud's answer is better than ours
	defer cancel()
	reply, err := s.Cloud.Do(ctx, c)
	if err != nil {
		return reply, unavailable("cloudcore did not answer: " + err.Error())
	}
	if reply.Status < 100 || reply.Status > 599 {
		return reply, unavailable(fmt.Sprintf("cloudcore answered with status %d", reply.Status))
	}
	return reply, nil
}

// replyError makes an error of an answer that is one.
func replyError(r edgev1.Reply) error {
	var st metav1.Status
	if json.Unmarshal(r.Body, &st) != nil || st.Kind != "Status" || st.Code == 0 {
		st = status(r.Status, metav1.StatusReasonUnknown, "the API server answered with status "+strconv.Itoa(r.Status)).ErrStatus
	}
	if r.RetryAfter > 0 && st.Details == nil {
		st.Details = &metav1.StatusDetails{RetryAfterSeconds: seconds(r.RetryAfter)}
	}
	return &apierrors.StatusError{ErrStatus: st}
}

// isObjectNotFound tells an object that is not there from a resource that is not.
func isObjectNotFound(body []byte, name string) bool {
	var st metav1.Status
	return json.Unmarshal(body, &st) == nil && st.Details != nil && st.Details.Name == name
}

// readBody reads the body of a request, and closes the request if it is too long.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBodyBytes))
	case err != nil:
		return nil, apierrors.NewBadRequest("the body could not be read: " + err.Error())
	}
	return body, nil
}

// callOf is the call that a request asks for. It has nothing of the request's
// headers but the type of its body: no token leaves the node.
func callOf(r *http.Request, user User, body []byte) edgev1.Call {
	timeout, _ := time.ParseDuration(r.URL.Query().Get("timeout")) // one that cannot be read is none
	return edgev1.Call{
		As: user.As, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		ContentType: r.Header.Get("Content-Type"), Accept: "application/json", Timeout: timeout, Body: body,
	}
}

// serveCall has the cloud do what is asked, and stores what comes of it.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, t target, user User) {
	body, err := readBody(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	if err := s.mayWrite(r.Method, t); err != nil {
		fail(w, err)
		return
	}
	if !s.Cloud.Linked() {
		s.serveCut(w, r, t, user, body)
		return
	}
	o, _, _ := s.Store.Known(t.key(), user.reader())
	dry := isDryRun(r, body)
	if body, err = toCloud(o, r.Method, r.Header.Get("Content-Type"), body); err != nil {
		fail(w, err)
		return
	}
	reply, err := s.call(r.Context(), callOf(r, user, body))
	if err != nil {
		fail(w, err)
		return
	}
	if reply.Status >= 200 && reply.Status < 300 && !dry {
		reply.Body = s.take(r.Method, t, reply.Body)
	}
	passOn(w, reply)
}

// passOn answers with the cloud's answer.
func passOn(w http.ResponseWriter, reply edgev1.Reply) {
	for _, text := range reply.Warnings {
		w.Header().Add("Warning", fmt.Sprintf("299 - %q", text))
	}
	if reply.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds(reply.RetryAfter))))
	}
	writeRaw(w, reply.Status, reply.ContentType, reply.Body)
}

// seconds are as many as a client has to wait.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

// mayWrite refuses changes of an object that is seen otherwise here: who has read
// it here would write into the cluster what is meant for this node.
func (s *Server) mayWrite(method string, t target) error {
	if s.View == nil || method != http.MethodPut && method != http.MethodPatch {
		return nil
	}
	o := s.Store.Get(t.key())
	if o == nil {
		return nil // nobody has read it here
	}
	if _, differs := s.View.Show(o.Key, o.JSON); !differs {
		return nil
	}
	return apierrors.NewForbidden(t.groupResource(), t.name, errors.New(
		"the edge node's local API shows it otherwise than the cluster has it, so it can only be changed at the cluster's API server"))
}

// take stores what a call has made of an object, and returns the answer with its
// local resourceVersion.
func (s *Server) take(method string, t target, body []byte) []byte {
	switch t.subresource {
	case "", "status", "ephemeralcontainers", "resize", "finalize", "approval":
	default:
		return body // of another kind: a token, a binding
	}
	h, err := store.ReadHead(body)
	deleted := method == http.MethodDelete && t.name != ""
	switch {
	case deleted && (err != nil || h.Kind == "Status"):
		s.Store.Buried(t.key(), deletedUID(body))
		return body
	case err != nil || h.Kind == "Status" || h.APIVersion != t.resource.GroupVersion() || strings.HasSuffix(h.Kind,
		"List"):
		return body
	case deleted && isGone(h):
		s.Store.Buried(t.key(), h.Metadata.UID)
		return body
	}
	o, err := s.Store.Written(t.resource, body)
	if err != nil || o == nil || o.UID != h.Metadata.UID {
		return body
	}
	return s.shown(o)
}

// isGone reports whether what a deletion answers with is no longer there. A
// Namespace has its finalizers elsewhere; it says since when it is being deleted, but
// no time until it is.
func isGone(h store.Head) bool {
	m := h.Metadata
	if len(m.Finalizers) > 0 {
		return false
	}
	if m.DeletionGracePeriodSeconds == nil {
		return m.DeletionTimestamp == ""
	}
	return *m.DeletionGracePeriodSeconds == 0
}

// deletedUID is the UID in the Status that answers a deletion; "" is any.
func deletedUID(body []byte) string {
	var st metav1.Status
	if json.Unmarshal(body, &st) != nil || st.Details == nil {
		return ""
	}
	return string(st.Details.UID)
}

// mediaType is a Content-Type without its parameters.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(kind)
}

// isDryRun reports whether a request changes nothing. Deletions say so in their
// body, too.
func isDryRun(r *http.Request, body []byte) bool {
	if r.URL.Query().Has("dryRun") {
		return true
	}
	if r.Method != http.MethodDelete {
		return false
	}
	if mediaType(r.Header.Get("Content-Type")) == protobuf.ContentType {
		o, err := protobuf.ReadDeleteOptions(body)
		return err == nil && o.DryRun
	}
	var o metav1.DeleteOptions
	return utiljson.Unmarshal(body, &o) == nil && len(o.DryRun) > 0 // as the API server reads it: case matters
}

// toCloud translates the local resourceVersions in a request's body to the
// cluster's. o is the object as it is known here, or nil.
func toCloud(o *store.Object, method, contentType string, body []byte) ([]byte, error) {
	if len(body) == 0 || method == http.MethodPost {
		return body, nil
	}
	switch kind := mediaType(contentType); {
	case kind == protobuf.ContentType:
		return protobufToCloud(o, method, body)
	case kind == "application/json-patch+json":
		return patchToCloud(o, body)
	case json.Valid(body):
	case strings.HasPrefix(kind, "application/apply-patch+yaml") && !bytes.Contains(body, []byte("resourceVersion")):
		return body, nil // nothing in it that would have to be translated
	default:
		return nil, status(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
			"the edge node's local API takes JSON or "+protobuf.ContentType+" here")
	}
	if method == http.MethodDelete {
		return deleteToCloud(o, body)
	}
	var h store.Head
	if err := json.Unmarshal(body, &h); err != nil || h.Metadata.ResourceVersion == "" {
		return body, nil // the API server says what is wrong with it
	}
	rv, err := versionToCloud(o, h.Metadata.ResourceVersion)
	if err != nil {
		return nil, err
	}
	return store.WithRV(body, rv), nil
}

// protobufToCloud is toCloud for objects and DeleteOptions as client-go writes
// them.
func protobufToCloud(o *store.Object, method string, body []byte) ([]byte, error) {
	read := func() (string, error) {
		h, err := protobuf.ReadHead(body)
		return h.ResourceVersion, err
	}
	write := protobuf.WithResourceVersion
	if method == http.MethodDelete {
		read = func() (string, error) {
			options, err := protobuf.ReadDeleteOptions(body)
			return options.ResourceVersion, err
		}
		write = protobuf.WithPrecondition
	}
	rv, err := read()
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if rv == "" {
		return body, nil
	}
	if rv, err = versionToCloud(o, rv); err != nil {
		return nil, err
	}
	return write(body, rv)
}

// versionToCloud translates one resourceVersion. It is a conflict if the object
// has changed since.
func versionToCloud(o *store.Object, rv string) (string, error) {
	if o == nil || rv == "" || rv == "0" || rv == o.Version {
		return rv, nil
	}
	n, err := strconv.ParseUint(rv, 10, 64)
	if err != nil || n < o.Since || n > o.RV {
		return "", status(http.StatusConflict, metav1.StatusReasonConflict, fmt.Sprintf(
			"Operation cannot be fulfilled on %s %q: the object has been modified; please apply your changes to the latest version and try again", o.Resource.Name, o.Name))
	}
	return o.Version, nil
}

func patchToCloud(o *store.Object, body []byte) ([]byte, error) {
	var ops []map[string]json.RawMessage
	if err := json.Unmarshal(body, &ops); err != nil {
		return nil, apierrors.NewBadRequest("JSON patch: " + err.Error())
	}
	changed := false
	for _, op := range ops {
		var path, rv string
		if json.Unmarshal(op["path"], &path) != nil || path != "/metadata/resourceVersion" || json.Unmarshal(op["value"],
			&rv) != nil {
			continue
		}
		rv, err := versionToCloud(o, rv)
		if err != nil {
			return nil, err
		}
		op["value"], changed = json.RawMessage(strconv.Quote(rv)), true
	}
	if !changed {
		return body, nil
	}
	return json.Marshal(ops)
}

func deleteToCloud(o *store.Object, body []byte) ([]byte, error) {
	var options metav1.DeleteOptions
	if utiljson.Unmarshal(body, &options) != nil || options.Preconditions == nil ||
		options.Preconditions.ResourceVersion == nil {
		return body, nil
	}
	rv, err := versionToCloud(o, *options.Preconditions.ResourceVersion)
	if err != nil {
		return nil, err
	}
	options.Preconditions.ResourceVersion = &rv
	return json.Marshal(options)
}

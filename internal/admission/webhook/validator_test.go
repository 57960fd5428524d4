package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/admission/admissiontest"
)

// nobody is an API server that is empty, or that does not answer.
type nobody struct {
	client.Reader
	err error
}

func (n nobody) List(_ context.Context, _ client.ObjectList, _ ...client.ListOption) error {
	return n.err
}

func review(t testing.TB, operation admissionv1.Operation, object, old string) []byte {
	t.Helper()
	raw := func(s string) runtime.RawExtension {
		if s == "" {
			return runtime.RawExtension{}
		}
		j, err := yaml.YAMLToJSON([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: j}
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "u", Namespace: "edge", Name: "cam", Operation: operation, Object: raw(object), OldObject: raw(old),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// ask serves the webhook and sends it a body.
func ask(t testing.TB, v *Validator, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	s := httptest.NewServer(limited(&ctrladmission.Webhook{Handler: v}))
	defer s.Close()
	resp, err := http.Post(s.URL+Path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out admissionv1.AdmissionReview
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Response == nil {
		t.Fatalf("status %s: %v", resp.Status, err)
	}
	return out.Response
}

func TestReview(t *testing.T) {
	const secret = "hunter2"
	withSecret := strings.Replace(admissiontest.Good, "name: udev", "name: udev\n    discoveryProperties: [{name: password, value: "+secret+"}]", 1)
	bad := strings.Replace(withSecret, "capacity: 2", "capacity: 0", 1)
	for _, tt := range []struct {
		name    string
		body    []byte
		live    nobody
		allowed bool
		says    string // part of the message or the warnings
	}{
		{name: "good", body: review(t, admissionv1.Create, withSecret, ""), allowed: true},
		{name: "bad", body: review(t, admissionv1.Create, bad, ""), says: "spec.capacity"},
		{name: "changed to bad", body: review(t, admissionv1.Update, bad, withSecret), says: "spec.capacity"},
		{name: "deletion", body: review(t, admissionv1.Delete, "", bad), allowed: true},
		{name: "nobody answers", body: review(t, admissionv1.Create, withSecret, ""), live: nobody{err: errors.New("away")}, allowed: true, says: "it may be taken"},
		{name: "no Configuration", body: review(t, admissionv1.Create, "spec: 7", ""), says: "not a Configuration of akri.sh/v0"},
		{name: "no old one", body: review(t, admissionv1.Update, withSecret, ""), says: "not a Configuration of akri.sh/v0"},
		{name: "no JSON", body: []byte("-"), says: "json"},
		{name: "nothing", says: "empty"},
		{name: "a spec that is too long", body: review(t, admissionv1.Create, strings.Replace(admissiontest.Good, "image: broker", "image: "+strings.Repeat("x", maxSpecBytes), 1), ""), says: "at most 524288 can be checked"},
		{name: "a long status is not in the way", body: review(t, admissionv1.Create, admissiontest.Good+"\nstatus: {nodes: ["+strings.Repeat("{name: n},", 100_000)+"]}", ""), allowed: true},
		{name: "a crowd of faults", body: review(t, admissionv1.Create, strings.Replace(admissiontest.Good, "name: udev", "name: udev\n    discoveryProperties: ["+strings.Repeat("{name: a},", 10_000)+"]", 1), ""), says: "give exactly one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			got := ask(t, &Validator{Live: tt.live, Log: slog.New(slog.NewTextHandler(&log, nil))}, tt.body)
			said := strings.Join(got.Warnings, "\n")
			if got.Result != nil {
				said += got.Result.Message
			}
			if len(said) > 100_000 {
				t.Errorf("it says %d bytes", len(said))
			}
			if got.Allowed != tt.allowed || !strings.Contains(said, tt.says) {
				t.Errorf("allowed %v, says %q; want %v, %q", got.Allowed, said, tt.allowed, tt.says)
			}
			if strings.Contains(log.String(), secret) || strings.Contains(said, secret) {
				t.Errorf("a value is told\nlog: %s\nanswer: %s", log.String(), said)
			}
		})
	}
}

// While nobody can say whether the user has the rights, the answer is neither yes
// nor no: clients try again.
func TestLater(t *testing.T) {
	v := &Validator{Live: nobody{}, Rights: &authorizer{err: errors.New("away")}, Log: slog.New(slog.DiscardHandler)}
	got := ask(t, v, review(t, admissionv1.Create, admissiontest.Good, ""))
	err := apierrors.FromObject(got.Result)
	if seconds, again := apierrors.SuggestsClientDelay(err); got.Allowed || !apierrors.IsServerTimeout(err) || !again || seconds == 0 ||
		!strings.Contains(err.Error(), "away. Try again") {
		t.Errorf("allowed %v, %+v", got.Allowed, got.Result)
	}
}

func TestParentOf(t *testing.T) {
	for name, want := range map[string]string{
		"cam": "", "cam-a1b2c3": "cam", "cam-x-a1b2c3d4": "cam-x", "cam-a1b2c": "", "cam-a1b2cg": "", "-a1b2c3": "", "a1b2c3": "", "cam-": "", "cam-A1B2C3": "",
	} {
		if got := parentOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// While the maximum number of reviews is in progress, others wait with their
// bodies unread, and get the answer to try again before the API server gives
// up.
func TestTooMany(t *testing.T) {
	if placeTimeout+factsTimeout > reviewTimeout || answerTimeout >= reviewTimeout {
		t.Errorf("they wait for %s, facts for %s; the API server for %s", placeTimeout, factsTimeout, reviewTimeout)
	}
	synctest.Test(t, func(t *testing.T) {
		inside := 0
		release := make(chan struct{})
		h := limited(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			inside++
			<-release
		}))
		send := func(from string, length int64) *httptest.ResponseRecorder {
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequest(http.MethodPost, Path, unread{t})
			r.RemoteAddr, r.ContentLength = from+":1", length
			go h.ServeHTTP(w, r)
			synctest.Wait()
			return w.ResponseRecorder
		}
		for range 20 {
			send("10.0.0.1", 1000)
			send("10.0.0.1", maxReviewBytes)
		}
		if inside != maxReviewsPerAddress {
			t.Errorf("%d reviews of one address are worked on at once", inside)
		}
		for range 2 {
			send("10.0.0.2", 1000)
		}
		if inside != maxReviews {
			t.Errorf("%d reviews are worked on at once: there is no room for another address", inside)
		}
		late := send("10.0.0.3", 1000)
		time.Sleep(placeTimeout)
		synctest.Wait()
		if late.Code != http.StatusTooManyRequests {
			t.Errorf("one that waited too long is told %d", late.Code)
		}
		close(release)
		synctest.Wait()
		if w := send("10.0.0.3", 1000); w.Code != http.StatusOK {
			t.Errorf("afterwards: %d", w.Code)
		}
		for _, length := range []int64{-1, maxReviewBytes + 1} {
			if w := send("10.0.0.3", length); w.Code < 400 {
				t.Errorf("%d bytes: %d", length, w.Code)
			}
		}
	})
}

// unread is a body that nobody may read yet.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("a body is read")
	return 0, io.EOF
}

// deadlines takes deadlines as a connection does.
type deadlines struct{ *httptest.ResponseRecorder }

func (*deadlines) SetReadDeadline(time.Time) error { return nil }

// Any input gets an answer, and no value appears in the log.
func FuzzReview(f *testing.F) {
	f.Add(review(f, admissionv1.Create, admissiontest.Good, ""))
	f.Add(review(f, admissionv1.Update, admissiontest.Good, admissiontest.Good))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"operation":"CREATE","object":{"spec":null}}}`))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}`))
	v := &Validator{Live: nobody{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	hook := &ctrladmission.Webhook{Handler: v}
	no := false
	hook.RecoverPanic = &no
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		hook.ServeHTTP(w, r)
		var out admissionv1.AdmissionReview
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Response == nil {
			t.Errorf("answer %q: %v", w.Body, err)
		}
	})
}

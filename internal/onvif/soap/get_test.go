package soap

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A picture is behind HTTP digest; the second one costs one request.
func TestGet(t *testing.T) {
	var asked atomic.Int32
	c := client(t, Options{Credentials: &Credentials{Username: "u", Password: "p"}}, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method != http.MethodGet || r.Header.Get("Content-Type") != "" {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		if !strings.Contains(r.Header.Get("Authorization"), `username="u"`) {
			w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write([]byte("picture"))
	})
	for range 2 {
		if got, err := c.Get(t.Context(), 7); err != nil || string(got) != "picture" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
	if _, err := c.Get(t.Context(), 6); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than is read: %v", err)
	}
}

func TestGetErrors(t *testing.T) {
	digest := `Digest realm="r", nonce="n", qop="auth"`
	for _, c := range []struct {
		name      string
		user      *Credentials
		status    int
		challenge string
		want      string
		auth      bool
	}{
		{"nobody is named", nil, 401, digest, "it wants a user name and a password", true},
		{"a wrong password", &Credentials{Username: "u", Password: "p"}, 401, digest, `it refuses the user "u" or the password`, true},
		{"no password", &Credentials{Username: "u"}, 401, digest, `it refuses the user "u" without a password`, true},
		{"Basic alone would give it away", &Credentials{Username: "u", Password: "p"}, 401, `Basic realm="r"`, "it wants a user name and a password", true},
		{"forbidden", nil, 403, "", "it wants a user name and a password", true},
		{"not there", nil, 404, "", "it answers HTTP 404 Not Found", false},
		{"elsewhere", nil, 307, "", "it redirects to", false},
	} {
		cl := client(t, Options{Credentials: c.user}, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("Authorization"), "Basic") {
				t.Errorf("%s: the password is given away", c.name)
			}
			w.Header().Set("WWW-Authenticate", c.challenge)
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(c.status)
		})
		_, err := cl.Get(t.Context(), 10)
		if err == nil || !strings.Contains(err.Error(), c.want) || IsAuth(err) != c.auth {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

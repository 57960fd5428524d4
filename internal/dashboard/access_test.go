package dashboard

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAccess(t *testing.T) {
	const token = "0123456789abcdef"
	address, file := serve(t, newLab(1), token)
	open, _ := serve(t, newLab(1), "")
	do := func(method, url string, form url.Values, with func(*http.Request)) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if with != nil {
			with(req)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	bearer := func(word string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+word) }
	}
	cookie := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: value}) }
	}
	for _, tt := range []struct {
		name, url string
		with      func(*http.Request)
		code      int
	}{
		{"the page", address + "/", nil, 200},
		{"no token", address + "/api/board", nil, 401},
		{"no token for the feed", address + "/api/live", nil, 401},
		{"no token for a question", address + "/api/explain", nil, 401},
		{"a wrong token", address + "/api/board", bearer(token + "0"), 401},
		{"the token", address + "/api/board", bearer(token), 200},
		{"the token, by any name", address + "/api/board", func(r *http.Request) { bearer(token)(r); r.Host = "lab.example" }, 200},
		{"a session", address + "/api/board", cookie(session(token)), 200},
		{"the token as a session", address + "/api/board", cookie(token), 401},
		{"another session", address + "/api/board", cookie(session("x")), 401},
		{"without a token, by the loopback", open + "/api/board", nil, 200},
		{"localhost", open + "/api/board", host("localhost:8080"), 200},
		{"IPv6", open + "/api/board", host("[::1]:8080"), 200},
		{"IPv6 without a port", open + "/api/board", host("[::1]"), 200},
		{"a name that leads to the loopback", open + "/api/board", host("evil.example:8080"), 421},
		{"such a page", open + "/", host("localhost.evil.example"), 421},
		{"an address of others", open + "/api/board", host("10.0.0.1"), 421},
	} {
		if resp := do(http.MethodGet, tt.url, nil, tt.with); resp.StatusCode != tt.code {
			t.Errorf("%s: %s", tt.name, resp.Status)
		}
	}
	if resp := do(http.MethodPost, address+"/api/login", url.Values{"token": {"guess"}}, nil); resp.StatusCode != 403 || len(resp.Cookies()) > 0 {
		t.Errorf("a guess: %s", resp.Status)
	}
	if resp := do(http.MethodPost, address+"/api/login", url.Values{"token": {strings.Repeat("x", 1<<20)}}, nil); resp.StatusCode != 403 {
		t.Errorf("a long guess: %s", resp.Status)
	}
	resp := do(http.MethodPost, address+"/api/login", url.Values{"token": {token}}, func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") })
	if resp.StatusCode != 204 || len(resp.Cookies()) != 1 {
		t.Fatalf("login: %s, %v", resp.Status, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Value == token {
		t.Errorf("cookie %+v", c)
	}
	// Another token ends all sessions; one that is too short lets nobody in.
	for word, code := range map[string]int{"another token of 32 characters..": 401, "short": 500} {
		if err := os.WriteFile(file, []byte(word), 0o600); err != nil {
			t.Fatal(err)
		}
		if resp := do(http.MethodGet, address+"/api/board", nil, cookie(c.Value)); resp.StatusCode != code {
			t.Errorf("after the token became %q: %s", word, resp.Status)
		}
	}
}

// Without a token it is not shown to everybody.
func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for _, tt := range []struct {
		address, token, err string
	}{
		{"127.0.0.1:8080", "", ""},
		{"[::1]:0", "", ""},
		{"localhost:8080", "", ""},
		{":8080", "", "can be reached by others"},
		{"0.0.0.0:8080", "", "can be reached by others"},
		{"8080", "", "missing port"},
		{":8080", "0123456789abcdef", ""},
		{":8080", "short", "use at least 16"},
	} {
		o := Options{Address: tt.address}
		if tt.token != "" {
			o.TokenFile = file
			if err := os.WriteFile(file, []byte(tt.token), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Check(); tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s, token %q: %v", tt.address, tt.token, err)
		}
	}
	if err := (Options{Address: ":0", TokenFile: file + ".none"}).Check(); err == nil {
		t.Error("a token that is not there will do")
	}
}

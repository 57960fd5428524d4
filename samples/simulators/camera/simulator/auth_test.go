package simulator

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The example of the ONVIF Application Programmer's Guide (6.1.1.3).
func TestUsernameToken(t *testing.T) {
	const text = `<UsernameToken xmlns="` + nsSecurity + `"><Username>user</Username><Password Type="` + passwordDigest +
		`">tuOSpGlFlIXsozq4HFNeeGeFLEI=</Password><Nonce EncodingType="x">LKqI6G/AikKCQrN0zqZFlg==</Nonce>` +
		`<Created xmlns="` + nsUtility + `">2010-09-16T07:50:45Z</Created></UsernameToken>`
	at := time.Date(2010, 9, 16, 7, 50, 45, 0, time.UTC)
	for name, tt := range map[string]struct {
		clock          time.Time
		user, password string
		change         [2]string
		want           string
	}{
		"right":             {at, "user", "userpassword", [2]string{}, ""},
		"a minute later":    {at.Add(time.Minute), "user", "userpassword", [2]string{}, ""},
		"six minutes later": {at.Add(6 * time.Minute), "user", "userpassword", [2]string{}, "the camera's clock"},
		"six minutes early": {at.Add(-6 * time.Minute), "user", "userpassword", [2]string{}, "the camera's clock"},
		"another password":  {at, "user", "other", [2]string{}, "is wrong"},
		"another user":      {at, "other", "userpassword", [2]string{}, "is wrong"},
		"a plain password":  {at, "user", "userpassword", [2]string{"#PasswordDigest", "#PasswordText"}, "not a digest"},
		"no type":           {at, "user", "userpassword", [2]string{` Type="` + passwordDigest + `"`, ""}, "not a digest"},
		"no nonce":          {at, "user", "userpassword", [2]string{"LKqI6G/AikKCQrN0zqZFlg==", ""}, "no nonce"},
		"no time":           {at, "user", "userpassword", [2]string{"2010-09-16T07:50:45Z", "now"}, "created"},
		"another time":      {at, "user", "userpassword", [2]string{"07:50:45Z", "07:50:46Z"}, "is wrong"},
	} {
		token, err := parse([]byte(strings.ReplaceAll(text, tt.change[0], tt.change[1])))
		if tt.change[0] == "" {
			token, err = parse([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
		g := newGuard(&Options{Auth: AuthUsernameToken, Username: tt.user, Password: tt.password}, func() time.Time { return tt.clock })
		err = g.checkToken(token)
		if got := ""; err != nil {
			got = err.Error()
			if tt.want == "" || !strings.Contains(got, tt.want) {
				t.Errorf("%s: %s, want %q", name, got, tt.want)
			}
			continue
		}
		if tt.want != "" {
			t.Errorf("%s is let in", name)
		}
		if err := g.checkToken(token); err == nil {
			t.Errorf("%s: the nonce is good twice", name)
		}
	}
}

// What is remembered of nonces is bounded, and goes when its time is over.
func TestUsedNonces(t *testing.T) {
	u, now := &used{}, time.Now()
	name := func(i int) string { return strings.Repeat("x", i) }
	for i := range maxNonces {
		if !u.first(name(i), now) {
			t.Fatalf("nonce %d is refused", i)
		}
	}
	if u.first("more", now) || len(u.until) > maxNonces {
		t.Errorf("%d are remembered", len(u.until))
	}
	if later := now.Add(2*clockWindow + time.Second); !u.first("more", later) || len(u.until) != 1 {
		t.Errorf("%d are remembered when their time is over", len(u.until))
	}
}

// The examples of RFC 7616, 3.9.1.
func TestDigest(t *testing.T) {
	const nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
	header := func(algorithm, response string) string {
		return `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=` + algorithm + `,
			nonce="` + nonce + `", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
			response="` + response + `", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	}
	const (
		md5sum = "8ca523f5e9506fed4657c9700eebdbec"
		sha    = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
	)
	for name, tt := range map[string]struct {
		algorithms []string
		method     string
		uri        string
		header     string
		ok, stale  bool
	}{
		"MD5":                  {[]string{MD5}, "GET", "/dir/index.html", header("MD5", md5sum), true, false},
		"SHA-256":              {[]string{MD5, SHA256}, "GET", "/dir/index.html", header("SHA-256", sha), true, false},
		"not offered":          {[]string{MD5}, "GET", "/dir/index.html", header("SHA-256", sha), false, false},
		"another method":       {[]string{MD5}, "POST", "/dir/index.html", header("MD5", md5sum), false, false},
		"another URI":          {[]string{MD5}, "GET", "/dir/other.html", header("MD5", md5sum), false, false},
		"another answer":       {[]string{MD5}, "GET", "/dir/index.html", header("MD5", sha), false, false},
		"another scheme":       {[]string{MD5}, "GET", "/dir/index.html", "Basic x", false, false},
		"nothing":              {[]string{MD5}, "GET", "/dir/index.html", "", false, false},
		"a quote without end":  {[]string{MD5}, "GET", "/dir/index.html", `Digest username="Mufasa`, false, false},
		"too long":             {[]string{MD5}, "GET", "/dir/index.html", "Digest " + strings.Repeat("x", 5000), false, false},
		"nonce is not ours":    {[]string{MD5}, "GET", "/dir/index.html", header("MD5", md5sum), false, true},
		"nonce is over":        {[]string{MD5}, "GET", "/dir/index.html", header("MD5", md5sum), false, true},
		"count was used":       {[]string{MD5}, "GET", "/dir/index.html", header("MD5", md5sum), false, true},
		"a parameter of space": {[]string{MD5}, "GET", "/dir/index.html", "Digest =,=,= ", false, false},
	} {
		d := newDigest(&Options{Username: "Mufasa", Password: "Circle of Life", Algorithms: tt.algorithms}, time.Now)
		d.realm = "http-auth@example.org"
		switch name {
		case "nonce is not ours":
		case "nonce is over":
			d.nonces[nonce] = &issued{until: time.Now().Add(-time.Second)}
		case "count was used":
			d.nonces[nonce] = &issued{until: time.Now().Add(time.Minute), count: 1}
		default:
			d.nonces[nonce] = &issued{until: time.Now().Add(time.Minute)}
		}
		if ok, stale := d.check(tt.method, tt.uri, tt.header); ok != tt.ok || stale != tt.stale {
			t.Errorf("%s: %v, stale %v", name, ok, stale)
		}
		if tt.ok {
			if ok, _ := d.check(tt.method, tt.uri, tt.header); ok {
				t.Errorf("%s: the count is good twice", name)
			}
		}
	}
}

// The challenge has what a client needs, and nonces are bounded.
func TestChallenge(t *testing.T) {
	d := newDigest(&Options{Username: "u", Password: "p", Algorithms: []string{SHA256, MD5}}, time.Now)
	for range maxNonces + 10 {
		d.issue()
	}
	if len(d.nonces) > maxNonces {
		t.Errorf("%d nonces", len(d.nonces))
	}
	w := httptest.NewRecorder()
	if d.admit(w, httptest.NewRequest(http.MethodGet, "/", nil)) {
		t.Error("let in")
	}
	got := w.Header().Values("WWW-Authenticate")
	if len(got) != 2 || w.Code != http.StatusUnauthorized || !strings.Contains(got[0], "algorithm=SHA-256") || !strings.Contains(got[1], "algorithm=MD5") {
		t.Errorf("%d %q", w.Code, got)
	}
	_, rest, _ := strings.Cut(got[0], " ")
	if p := parameters(rest); p["realm"] != "camera" || p["qop"] != "auth" || d.nonces[p["nonce"]] == nil {
		t.Errorf("%v", p)
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(`Digest username="a", realm="camera", nonce="b\"c", uri="/", nc=00000001, qop=auth, response=x`)
	f.Add(`Digest a="`)
	d := newDigest(&Options{Username: "a", Password: "p", Algorithms: []string{MD5}}, time.Now)
	f.Fuzz(func(t *testing.T, header string) {
		if ok, _ := d.check(http.MethodGet, "/", header); ok {
			t.Errorf("%q is let in", header)
		}
	})
}

// A camera answers every request, or says what is wrong with it.
func FuzzCall(f *testing.F) {
	s, err := New(Options{Addresses: nil, Count: 1})
	if err == nil {
		f.Fatal("cameras without an address")
	}
	if s, err = New(Options{Addresses: loopback, Auth: AuthUsernameToken}); err != nil {
		f.Fatal(err)
	}
	c := s.Cameras()[0]
	e := &endpoint{on: &link{}}
	for name := range deviceService.operations {
		f.Add([]byte(`<s:Envelope xmlns:s="` + nsEnvelope + `"><s:Body><` + name + ` xmlns="` + nsDevice + `"/></s:Body></s:Envelope>`))
	}
	f.Add([]byte(`<s:Envelope xmlns:s="` + nsEnvelope + `"><s:Header>` + token("admin", "x", time.Now(), "n") + `</s:Header><s:Body><GetScopes xmlns="` +
		nsDevice + `"/></s:Body></s:Envelope>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/onvif/device_service", strings.NewReader(string(data)))
		c.soap(e, deviceService)(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusInternalServerError {
			t.Errorf("status %d", w.Code)
		}
		root, err := parse(w.Body.Bytes())
		if err != nil || root.find(xml.Name{Space: nsEnvelope, Local: "Body"}) == nil {
			t.Errorf("%v: %s", err, w.Body)
		}
	})
}

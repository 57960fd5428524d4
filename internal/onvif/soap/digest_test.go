package soap

import (
	"strings"
	"testing"
)

// The examples of RFC 7616, section 3.9.1, and of RFC 2617, section 3.5, without
// qop as in RFC 2069.
func TestAuthorize(t *testing.T) {
	const header = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=ALG, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	user := Credentials{Username: "Mufasa", Password: "Circle of Life"}
	for _, c := range []struct{ header, want string }{
		{strings.Replace(header, "ALG", "MD5", 1), `response="8ca523f5e9506fed4657c9700eebdbec", algorithm=MD5, opaque="FQhe`},
		{strings.Replace(header, "ALG", "SHA-256", 1),
			`response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", algorithm=SHA-256`},
	} {
		ch, ok := strongest([]string{c.header})
		if !ok {
			t.Fatalf("%s: no challenge", c.header)
		}
		got, err := ch.authorize(user, "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", 1)
		if err != nil || !strings.Contains(got, c.want) || !strings.Contains(got, "qop=auth, nc=00000001") {
			t.Errorf("%v\n%s\nwant %s", err, got, c.want)
		}
	}
	old := challenge{realm: "testrealm@host.com", nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
	got, err := old.authorize(Credentials{Username: "Mufasa", Password: "Circle Of Life"}, "GET", "/dir/index.html", "x", 1)
	if err != nil || !strings.Contains(got, `response="670fd8c2df070c60b045671b8b24ff02"`) || strings.Contains(got, "qop") {
		t.Errorf("%v, %s", err, got)
	}
	got, err = challenge{realm: "a\"b\r\nX: y", nonce: "n\\"}.authorize(Credentials{Username: "u\n", Password: "p"}, "POST", "/", "c", 1)
	if err != nil || strings.ContainsAny(got, "\r\n") || !strings.Contains(got, `realm="a\"bX: y", nonce="n\\"`) {
		t.Errorf("%v, %q", err, got)
	}
}

func TestStrongest(t *testing.T) {
	for header, want := range map[string]string{
		"":                                 "",
		"Basic realm=\"x\"":                "",
		`Digest realm="x"`:                 "", // without a nonce
		`Digest nonce="n"`:                 "n ",
		`digest nonce=n, qop=auth`:         "n ",
		`Digest nonce="n", qop="auth-int"`: "", // only a form that we do not have
		`Digest nonce="n", algorithm=SHA-512-256`:                                                  "",
		`Digest nonce="n", algorithm=MD5-sess`:                                                     "n MD5-sess",
		`Digest nonce="a", algorithm=MD5, Digest nonce="b", algorithm=SHA-256`:                     "b SHA-256",
		`Digest nonce="b", algorithm=SHA-256, Basic realm="y", Digest nonce="a"`:                   "b SHA-256",
		`Digest realm="a, Digest nonce=\"x\"", nonce="n"`:                                          "n ",
		`Negotiate abc==, Digest nonce="n"`:                                                        "n ",
		`Digest nonce="n`:                                                                          "n ",
		"Digest nonce=\"" + strings.Repeat("x", 100) + "\", stale=TRUE" + strings.Repeat(",", 100): strings.Repeat("x", 100) + " ",
	} {
		got := ""
		if c, ok := strongest([]string{header}); ok {
			got = c.nonce + " " + c.algorithm
		}
		if got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf", opaque="FQhe"`)
	f.Add(`Basic realm="x", Digest nonce="n", stale=true`)
	f.Add(`Negotiate abc==, Digest nonce="n\"m"`)
	f.Fuzz(func(t *testing.T, header string) {
		list := parseChallenges(header)
		if len(list) > maxChallenges {
			t.Errorf("%d challenges", len(list))
		}
		for _, c := range list {
			text, err := c.authorize(Credentials{Username: "u", Password: "p"}, "POST", "/", "c", 1)
			if strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%q, %v", text, err)
			}
		}
	})
}

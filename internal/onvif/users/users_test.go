package users

import (
	"fmt"
	"strings"
	"testing"
)

func TestUsers(t *testing.T) {
	const uuid, other = "5f5a69c2-e0ae-504f-829b-00fcdab169cd", "other"
	for i, c := range []struct {
		properties  map[string]string
		want, deflt string // user and password of the camera, and of another
	}{
		{nil, "", ""},
		{map[string]string{"username_default": "u", "password_default": "p"}, "u/p", "u/p"},
		{map[string]string{"username_default": "u"}, "u/", "u/"},
		{map[string]string{"password_default": "p"}, "", ""},
		{map[string]string{"username_5f5a69c2_e0ae_504f_829b_00fcdab169cd": "u", "password_5f5a69c2_e0ae_504f_829b_00fcdab169cd": "p"}, "u/p", ""},
		{map[string]string{"username_5F5A69C2_E0AE_504F_829B_00FCDAB169CD": "u", "password_5f5a69c2_e0ae_504f_829b_00fcdab169cd": "p",
			"username_default": "d", "password_default": "e"}, "u/p", "d/e"},
		{map[string]string{"device_credential_list": `["secret"]`,
			"secret": `{"5f5a69c2-e0ae-504f-829b-00fcdab169cd": {"username": "u", "password": "cA==", "base64encoded": true}, "default": {"username": "d", "password": "e"}}`}, "u/p", "d/e"},
		{map[string]string{"device_credential_ref_list": `["refs"]`, "refs": `{"urn:uuid:5F5A69C2-e0ae-504f-829b-00fcdab169cd": {"username_ref": "a", "password_ref": "b"}}`,
			"a": "u", "b": "p"}, "u/p", ""},
		// Later forms win.
		{map[string]string{"device_credential_list": `["one"]`, "one": `{"default": {"username": "1", "password": "1"}}`,
			"device_credential_ref_list": `["two"]`, "two": `{"default": {"username_ref": "a", "password_ref": "a"}}`, "a": "2"}, "2/2", "2/2"},
		{map[string]string{"device_credential_list": `["one"]`, "one": `{"default": {"username": "1", "password": "1"}}`,
			"username_default": "3", "password_default": "3"}, "3/3", "3/3"},
		{map[string]string{"device_credential_list": `[]`, "something_else": "x"}, "", ""},
	} {
		all := map[string][]byte{}
		for name, value := range c.properties {
			all[name] = []byte(value)
		}
		p, err := Parse(all)
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		show := func(uuid string) string {
			u := p.Of(uuid)
			if u == nil {
				return ""
			}
			return u.Username + "/" + u.Password
		}
		if got, deflt := show(uuid), show(other); got != c.want || deflt != c.deflt {
			t.Errorf("case %d: %q and %q, want %q and %q", i, got, deflt, c.want, c.deflt)
		}
	}
}

// What is wrong is said without what is in it.
func TestBadProperties(t *testing.T) {
	for text, properties := range map[string]map[string]string{
		`device_credential_list: not JSON like ["<property>", …]`: {"device_credential_list": "hunter2"},
		`device_credential_list: there is no property "x"`:        {"device_credential_list": `["x"]`},
		`x: not JSON like {"<uuid>": {"username"`:                 {"device_credential_list": `["x"]`, "x": `hunter2`},
		`x: the password of "a" is not base64`: {"device_credential_list": `["x"]`,
			"x": `{"a": {"username": "u", "password": "hunter2!", "base64encoded": true}}`},
		`x: not JSON like {"<uuid>": {"username_ref"`:           {"device_credential_ref_list": `["x"]`, "x": `hunter2`},
		`x: there is no property "u", which it names for "a"`:   {"device_credential_ref_list": `["x"]`, "x": `{"a": {"username_ref": "u"}}`},
		`ca_certificates: there is no certificate in PEM in it`: {"ca_certificates": "hunter2"},
		`big: 1048577 bytes, at most 1048576 are allowed`:       {"big": strings.Repeat("x", maxProperty+1)},
	} {
		all := map[string][]byte{}
		for name, value := range properties {
			all[name] = []byte(value)
		}
		if _, err := Parse(all); err == nil || !strings.HasPrefix(err.Error(), text) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%v, want %s", err, text)
		}
	}
}

func FuzzProperties(f *testing.F) {
	f.Add(`["x"]`, `{"default": {"username": "u", "password": "cA==", "base64encoded": true}}`, `["x"]`)
	f.Fuzz(func(t *testing.T, list, x, refs string) {
		p, err := Parse(map[string][]byte{
			"device_credential_list": []byte(list), "x": []byte(x), "device_credential_ref_list": []byte(refs), "username_default": []byte("u"),
		})
		if err == nil && p.Of("any") == nil {
			t.Error("the default user is lost")
		}
	})
}

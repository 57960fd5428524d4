// Package users reads the users of cameras, in the forms in which upstream Akri's
// ONVIF handler and broker take them: names and values, which are the
// discoveryProperties of a Configuration, or the files of a mounted Secret.
package users

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// User is a user of a camera.
type User struct{ Username, Password string }

// Users are what was read. They are secret: they are in no error and no log.
type Users struct {
	users map[string]User // by UUID, or anyCamera
	// Roots sign the certificates of cameras; nil for those of the system.
	Roots *x509.CertPool
}

// anyCamera is the key of the user for cameras that have none of their own.
const anyCamera = "default"

const (
	maxProperty = 1 << 20 // bytes
	maxUsers    = 10_000
)

// Of returns the user for a camera, by its UUID as of [UUID]; nil if there is
// none.
func (p Users) Of(uuid string) *User {
	for _, key := range []string{uuid, anyCamera} {
		if c, ok := p.users[key]; ok {
			return &c
		}
	}
	return nil
}

// UUID returns the form of an endpoint reference that cameras are known by:
// without urn: and uuid:, in lower case.
func UUID(reference string) string {
	s := strings.ToLower(strings.TrimSpace(reference))
	s = strings.TrimPrefix(s, "urn:")
	return strings.TrimPrefix(s, "uuid:")
}

// Parse reads names and values. Of upstream's forms, later ones win over earlier
// ones: device_credential_list, device_credential_ref_list, username_<uuid> and
// password_<uuid>. Besides, ca_certificates are PEM. What it does not know is for
// others.
func Parse(all map[string][]byte) (Users, error) {
	p := Users{users: make(map[string]User)}
	for name, value := range all {
		if len(value) > maxProperty {
			return p, fmt.Errorf("%s: %d bytes, at most %d are allowed", name, len(value), maxProperty)
		}
	}
	if err := p.lists(all); err != nil {
		return p, err
	}
	if err := p.references(all); err != nil {
		return p, err
	}
	p.names(all)
	if len(p.users) > maxUsers {
		return p, fmt.Errorf("users of %d cameras, at most %d are allowed", len(p.users), maxUsers)
	}
	if pem, ok := all["ca_certificates"]; ok {
		p.Roots = x509.NewCertPool()
		if !p.Roots.AppendCertsFromPEM(pem) {
			return p, errors.New("ca_certificates: there is no certificate in PEM in it")
		}
	}
	return p, nil
}

// lists reads the properties that device_credential_list names: each has users
// by UUID.
func (p Users) lists(all map[string][]byte) error {
	return eachOf(all, "device_credential_list", func(name string, value []byte) error {
		var users map[string]struct {
			Username string `json:"username"`
			Password string `json:"password"`
			Encoded  bool   `json:"base64encoded"`
		}
		if err := json.Unmarshal(value, &users); err != nil {
			return notLike(name, `{"<uuid>": {"username": …, "password": …, "base64encoded": true or false}}`)
		}
		for uuid, u := range users {
			if u.Encoded {
				plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(u.Password))
				if err != nil {
					return fmt.Errorf("%s: the password of %q is not base64", name, uuid)
				}
				u.Password = string(plain)
			}
			p.users[UUID(uuid)] = User{Username: u.Username, Password: u.Password}
		}
		return nil
	})
}

// references reads the properties that device_credential_ref_list names: each has
// the names of the properties with a camera's user, by UUID.
func (p Users) references(all map[string][]byte) error {
	return eachOf(all, "device_credential_ref_list", func(name string, value []byte) error {
		var users map[string]struct {
			Username string `json:"username_ref"`
			Password string `json:"password_ref"`
		}
		if err := json.Unmarshal(value, &users); err != nil {
			return notLike(name, `{"<uuid>": {"username_ref": …, "password_ref": …}}`)
		}
		for uuid, u := range users {
			username, ok := all[u.Username]
			if !ok {
				return fmt.Errorf("%s: there is no property %q, which it names for %q", name, u.Username, uuid)
			}
			if _, ok := all[u.Password]; !ok && u.Password != "" {
				return fmt.Errorf("%s: there is no property %q, which it names for %q", name, u.Password, uuid)
			}
			p.users[UUID(uuid)] = User{
				Username: string(username), Password: string(all[u.Password]),
			}
		}
		return nil
	})
}

// eachOf reads a property that is a list of names of others, and calls read with
// each of these.
func eachOf(all map[string][]byte, list string, read func(name string, value []byte) error) error {
	text, ok := all[list]
	if !ok {
		return nil
	}
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return notLike(list, `["<property>", …]`)
	}
	for _, name := range names {
		value, ok := all[name]
		if !ok {
			return fmt.Errorf("%s: there is no property %q, which it names", list, name)
		}
		if err := read(name, value); err != nil {
			return err
		}
	}
	return nil
}

// notLike says of what form a property must be. It shows nothing of what it is.
func notLike(name, form string) error { return fmt.Errorf("%s: not JSON like %s", name, form) }

// names reads username_<uuid> and password_<uuid>, with _ for - in the UUID, and
// username_default and password_default.
func (p Users) names(all map[string][]byte) {
	passwords := make(map[string]string)
	for name, value := range all {
		if key, ok := strings.CutPrefix(strings.ToLower(name), "password_"); ok {
			passwords[key] = string(value)
		}
	}
	for name, value := range all {
		if key, ok := strings.CutPrefix(strings.ToLower(name), "username_"); ok && value != nil {
			uuid := strings.ReplaceAll(key, "_", "-")
			p.users[uuid] = User{Username: string(value), Password: passwords[key]}
		}
	}
}

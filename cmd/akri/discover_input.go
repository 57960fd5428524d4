package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/handlers/all"
)

const maxInputBytes = 8 << 20 // bytes

// readInput reads a file, or standard input if its name is "-".
func readInput(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInputBytes+1))
	if err == nil && len(b) > maxInputBytes {
		err = fmt.Errorf("longer than %d MiB", maxInputBytes>>20)
	}
	if err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err // which the name precedes
		}
		return nil, fmt.Errorf("read %s: %w", inputName(name), err)
	}
	return b, nil
}

// inputName is what readInput reads, for errors.
func inputName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// readCredentials reads discoveryProperties from a file: YAML that maps names to
// values, as a Secret has them.
func readCredentials(file string, stdin io.Reader) (map[string][]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := readInput(file, stdin)
	if err != nil {
		return nil, err
	}
	var values map[string]string
	if err := yaml.UnmarshalStrict(b, &values); err != nil {
		// What is wrong with it would show what is in it.
		return nil, fmt.Errorf("%s: not YAML that maps names of discoveryProperties to texts, such as username: admin", inputName(file))
	}
	properties := make(map[string][]byte, len(values))
	for name, value := range values {
		properties[name] = []byte(value)
	}
	return properties, nil
}

// readDetails reads discoveryDetails. Whoever gives a whole Configuration is told
// where it belongs.
func readDetails(file string, stdin io.Reader) ([]byte, error) {
	b, err := readInput(file, stdin)
	if err != nil {
		return nil, err
	}
	if found, err := configurations(b); err == nil && len(found) > 0 { // else it says itself what is wrong
		return nil, exitcode.Usagef("%s is a whole Configuration, not its discoveryDetails: akri discover -f %s", inputName(file), file)
	}
	return b, nil
}

// fromManifest finds the handler and the request of the Configuration in a
// manifest; if there are several, args[0] is the name of the right one.
// Given are the discoveryProperties that the cluster would have.
func fromManifest(file string, stdin io.Reader, args []string, given map[string][]byte) (req discovery.Request, kind all.Kind, name string, err error) {
	b, err := readInput(file, stdin)
	if err != nil {
		return req, kind, "", err
	}
	c, err := configuration(b, args)
	if err != nil {
		return req, kind, "", fmt.Errorf("%s: %w", inputName(file), err)
	}
	info := c.Spec.DiscoveryHandler
	kind, known := all.Find(info.Name)
	if !known {
		return req, kind, "", fmt.Errorf("%s: Configuration %s asks the discovery handler %q, and this program has only %s", inputName(file), c.Name, info.Name, all.Names("and"))
	}
	req = discovery.Request{Details: info.DiscoveryDetails, Properties: map[string][]byte{}}
	for _, p := range info.DiscoveryProperties {
		value, known := given[p.Name]
		switch {
		case known:
			req.Properties[p.Name] = value
		case p.ValueFrom != nil:
			return req, kind, "", fmt.Errorf("%s: Configuration %s takes the property %s from the cluster, which this program does not use: "+
				"give its value with --credentials", inputName(file), c.Name, p.Name)
		case p.Value != nil:
			req.Properties[p.Name] = []byte(*p.Value)
		default:
			req.Properties[p.Name] = nil
		}
	}
	return req, kind, c.Name, nil
}

// configuration picks a Configuration out of YAML documents.
func configuration(manifest []byte, names []string) (*v0.Configuration, error) {
	all, err := configurations(manifest)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		all = slices.DeleteFunc(all, func(c *v0.Configuration) bool { return c.Name != names[0] })
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0 && len(names) > 0:
		return nil, fmt.Errorf("no Configuration %s in it", names[0])
	case len(all) == 0:
		return nil, errors.New("no Configuration of akri.sh in it")
	}
	var found []string
	for _, c := range all {
		found = append(found, c.Name)
	}
	return nil, fmt.Errorf("several Configurations: name one of %s", strings.Join(found, ", "))
}

// configurations returns all Configurations in YAML documents.
func configurations(manifest []byte) (all []*v0.Configuration, err error) {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var c v0.Configuration
		if err := yaml.Unmarshal(doc, &c.TypeMeta); err != nil {
			return nil, err
		}
		if c.Kind != "Configuration" || !strings.HasPrefix(c.APIVersion, "akri.sh/") {
			continue
		}
		if err := yaml.UnmarshalStrict(doc, &c); err != nil {
			return nil, fmt.Errorf("%s (akri check says all that is wrong)", admission.Plain(err))
		}
		all = append(all, &c)
	}
}

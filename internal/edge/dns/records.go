package dns

import (
	"encoding/json"
	"net/netip"
	"strings"
)

// serviceLabel names the Service of an EndpointSlice.
const serviceLabel = "kubernetes.io/service-name"

// headless is the clusterIP of a Service without an address.
const headless = "None"

// Records are the names of a cluster. They do not change.
type Records struct {
	domain     string // without a dot at its end
	services   map[serviceName]*service
	namespaces map[string]bool
	reverse    map[netip.Addr]string
}

type serviceName struct{ namespace, name string }

// service is a Service and its endpoints.
type service struct {
	addresses []netip.Addr // none if it is headless
	external  string       // of an ExternalName
	ports     []port
	endpoints []endpoint // of a headless one, those that are ready
}

type port struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
}

type endpoint struct {
	host    string // the first label of its name
	address netip.Addr
	ports   []port
}

// Build makes the records of a cluster's domain from Services and EndpointSlices,
// as JSON. What cannot be read is left out.
func Build(domain string, services, slices [][]byte) *Records {
	r := &Records{
		domain: strings.ToLower(strings.Trim(domain, ".")), services: map[serviceName]*service{},
		namespaces: map[string]bool{}, reverse: map[netip.Addr]string{},
	}
	for _, object := range services {
		r.addService(object)
	}
	for _, object := range slices {
		r.addSlice(object)
	}
	return r
}

// meta is what is read of each object's metadata.
type meta struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

func (r *Records) addService(object []byte) {
	var o struct {
		Metadata meta `json:"metadata"`
		Spec     struct {
			Type         string   `json:"type"`
			ClusterIP    string   `json:"clusterIP"`
			ClusterIPs   []string `json:"clusterIPs"`
			ExternalName string   `json:"externalName"`
			Ports        []port   `json:"ports"`
		} `json:"spec"`
	}
	if json.Unmarshal(object, &o) != nil || o.Metadata.Name == "" {
		return
	}
	name := serviceName{o.Metadata.Namespace, o.Metadata.Name}
	s := &service{ports: o.Spec.Ports}
	if o.Spec.Type == "ExternalName" {
		s.external = strings.ToLower(strings.TrimSuffix(o.Spec.ExternalName, "."))
	}
	if len(o.Spec.ClusterIPs) == 0 && o.Spec.ClusterIP != headless {
		o.Spec.ClusterIPs = []string{o.Spec.ClusterIP}
	}
	for _, text := range o.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(text); err == nil {
			s.addresses = append(s.addresses, a.Unmap())
			r.reverse[a.Unmap()] = r.nameOf(name)
		}
	}
	r.services[name] = s
	r.namespaces[name.namespace] = true
}

func (r *Records) addSlice(object []byte) {
	var o struct {
		Metadata  meta   `json:"metadata"`
		Ports     []port `json:"ports"`
		Endpoints []struct {
			Addresses  []string `json:"addresses"`
			Hostname   string   `json:"hostname"`
			Conditions struct {
				Ready *bool `json:"ready"`
			} `json:"conditions"`
		} `json:"endpoints"`
	}
	if json.Unmarshal(object, &o) != nil {
		return
	}
	name := serviceName{o.Metadata.Namespace, o.Metadata.Labels[serviceLabel]}
	s := r.services[name]
	if s == nil || len(s.addresses) > 0 || s.external != "" {
		return // the endpoints of a Service with an address have no names
	}
	for _, e := range o.Endpoints {
		if ready := e.Conditions.Ready; ready != nil && !*ready {
			continue
		}
		for _, text := range e.Addresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				continue // a name, of the deprecated type FQDN
			}
			a = a.Unmap()
			host := strings.ToLower(e.Hostname)
			if host == "" {
				host = dashed(a)
			}
			s.endpoints = append(s.endpoints, endpoint{host, a, o.Ports})
			if _, taken := r.reverse[a]; !taken { // who writes a slice gives no other Service a name
				r.reverse[a] = host + "." + r.nameOf(name)
			}
		}
	}
}

func (r *Records) nameOf(s serviceName) string {
	return strings.ToLower(s.name + "." + s.namespace + ".svc." + r.domain)
}

// dashed is an address as a label of a name.
func dashed(a netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

// undashed is the address that a label is, if it is one.
func undashed(label string) (netip.Addr, bool) {
	for _, separator := range []string{".", ":"} {
		if a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", separator)); err == nil {
			return a, true
		}
	}
	return netip.Addr{}, false
}

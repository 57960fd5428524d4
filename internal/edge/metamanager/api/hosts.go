package api

import (
	"encoding/json"
	"slices"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// apiService is the Service of the API server, by whose address and names
// programs in Pods call it.
var apiService = store.Key{Resource: store.Resource{Version: "v1", Name: "services"}, Namespace: "default", Name: "kubernetes"}

// Hosts are the names and addresses by which clients call the local API: its own
// addresses, and those that the API server has in the cluster, as far as they are
// known.
func Hosts(st *store.Store, clusterDomain string, own ...string) []string {
	name := apiService.Name + "." + apiService.Namespace
	hosts := append(slices.Clone(own), apiService.Name, name, name+".svc", name+".svc."+clusterDomain)
	if o := st.Get(apiService); o != nil {
		hosts = append(hosts, clusterIPs(o.JSON)...)
	}
	return hosts
}

// clusterIPs are the addresses of a Service.
func clusterIPs(service []byte) []string {
	var s struct {
		Spec struct {
			ClusterIP  string   `json:"clusterIP"`
			ClusterIPs []string `json:"clusterIPs"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(service, &s) // one that cannot be read has none
	if len(s.Spec.ClusterIPs) == 0 && s.Spec.ClusterIP != "" {
		return []string{s.Spec.ClusterIP}
	}
	return s.Spec.ClusterIPs
}

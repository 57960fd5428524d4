package deptest

import (
	"path/filepath"
	"testing"
)

const (
	agent      = "./internal/agent/..."
	controller = "./internal/controller/..."
	cloud      = "./internal/cloud/..."
	edge       = "./internal/edge/..."
	grpc       = "google.golang.org/grpc/..."
	helm       = "helm.sh/helm/v4/..."
	prometheus = "github.com/prometheus/..."
	runtime    = "sigs.k8s.io/controller-runtime/..."
)

// TestRules checks the rules of this repository; ARCHITECTURE.md gives the
// reasons.
func TestRules(t *testing.T) {
	g, err := Load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		name string
		Rule
	}{
		{name: "the agent has small clients of its own", Rule: Rule{
			From: []string{"./cmd/akri-agent"},
			Not:  []string{"k8s.io/api/...", "k8s.io/client-go/kubernetes/...", "k8s.io/client-go/informers/...", runtime},
		}},
		{name: "handlers and their SDK know neither Kubernetes nor Prometheus' library", Rule: Rule{
			From: []string{"./cmd/akri-discovery", "./internal/handlers/...", "./discovery/...", "./bounded/..."},
			Not:  []string{"k8s.io/...", "sigs.k8s.io/...", prometheus},
			But:  []string{"sigs.k8s.io/yaml/..."},
		}},
		{name: "handlers and their SDK know neither agent nor controller", Rule: Rule{
			From: []string{"./internal/handlers/...", "./internal/onvif/...", "./discovery/...", "./bounded/..."},
			Not:  []string{agent, controller},
		}},
		{name: "the SDK and its trials link nothing of tests", Rule: Rule{
			From: []string{"./discovery", "./discovery/trial", "./discovery/contract"},
			Not:  []string{"testing", "./internal/leaktest", "./internal/peers", "./discovery/discoverytest"},
		}},
		{name: "what handlers and brokers share knows neither", Rule: Rule{
			From: []string{"./internal/onvif/..."}, Not: []string{"./internal/handlers/...", "./discovery/...", "./samples/...", "k8s.io/...", prometheus},
		}},
		{name: "the SDK knows no handler", Rule: Rule{
			From: []string{"./discovery/...", "./bounded/..."}, Not: []string{"./internal/handlers/..."},
		}},
		{name: "the agent knows no controller", Rule: Rule{From: []string{agent, "./cmd/akri-agent"}, Not: []string{controller, "./internal/admission/..."}}},
		{name: "the controller knows no agent", Rule: Rule{From: []string{controller, "./cmd/akri-controller"}, Not: []string{agent}}},
		{name: "cloud and edge have in common what is neither's", Rule: Rule{
			From: []string{cloud}, Not: []string{edge, agent, controller},
		}},
		{name: "cloudcore keeps of objects what it decides to keep", Rule: Rule{
			From: []string{"./cmd/cloudcore"},
			Not:  []string{"k8s.io/client-go/kubernetes/...", "k8s.io/client-go/informers/...", "k8s.io/client-go/tools/cache", runtime},
		}},
		{name: "the edge knows no cloud", Rule: Rule{From: []string{edge}, Not: []string{cloud, agent, controller}}},
		{name: "a session is of bytes", Rule: Rule{
			From: []string{"./internal/session"}, Not: []string{cloud, edge, "k8s.io/...", prometheus},
		}},
		{name: "the edge node's link knows no Kubernetes", Rule: Rule{
			From: []string{"./internal/edge/edgehub/link", "./internal/edge/edgehub/join"},
			Not:  []string{"k8s.io/...", prometheus},
		}},
		{name: "edgecore is small", Rule: Rule{
			From: []string{"./cmd/edgecore", "./internal/edge"}, Not: []string{"k8s.io/client-go/...", prometheus, grpc, runtime, "./internal/handlers/..."},
		}},
		{name: "only status patches of the edge need Kubernetes' types", Rule: Rule{
			From: []string{edge}, Except: []string{"./internal/edge", "./internal/edge/metamanager/api", "./internal/edge/edgetest"},
			Not: []string{"k8s.io/api/...", "k8s.io/client-go/..."},
		}},
		{name: "the edge node's store knows no link", Rule: Rule{
			From: []string{"./internal/edge/metamanager/..."}, Not: []string{"./internal/edge/edgehub/...", "./internal/session", "./internal/edge/edged"},
		}},
		{name: "tokens and protobuf bodies are judged without the API's types", Rule: Rule{
			From: []string{"./internal/edge/metamanager/tokens", "./internal/edge/metamanager/protobuf"}, Not: []string{"./internal/edge/metamanager/store", "k8s.io/..."},
		}},
		{name: "what an edge node shows otherwise follows from the object alone", Rule: Rule{
			From: []string{"./internal/edge/metamanager/rewrite"}, Not: []string{"./internal/edge/metamanager/store", "net/http", "k8s.io/..."},
		}},
		{name: "only the edge node has SQLite", Rule: Rule{
			From: []string{"./..."}, Except: []string{"./cmd/edgecore", edge, "./test/..."}, Not: []string{"modernc.org/..."},
		}},
		{name: "what judges Configurations links no code that speaks to devices", Rule: Rule{
			From: []string{"./internal/admission/...", "./internal/handlers", "./cmd/akri-controller"},
			Not:  []string{grpc, "./discovery/...", "./internal/handlers/all"},
		}},
		{name: "admission knows no controller", Rule: Rule{From: []string{"./internal/admission/..."}, Not: []string{controller}}},
		{name: "a Configuration is judged without a controller's libraries", Rule: Rule{
			From: []string{"./internal/admission", "./internal/admission/crd", "./internal/workload"}, Not: []string{runtime},
		}},
		{name: "what runs in a cluster knows nothing of the dev cluster", Rule: Rule{
			From: []string{"./cmd/...", "./samples/..."}, Except: []string{"./cmd/akri"},
			Not: []string{"./internal/devcluster/...", "./internal/images", "./internal/demo", "./internal/edgedemo", "./internal/labs", "./internal/street/..."},
		}},
		{name: "only akri, keadm, tests and tools link Helm", Rule: Rule{
			From: []string{"./..."}, Except: []string{"./cmd/akri", "./cmd/keadm", "./internal/helm", "./internal/keadm", "./internal/devcluster/...", "./internal/demo", "./internal/edgedemo", "./internal/labs", "./test/...", "./tools/..."},
			Not: []string{helm},
		}},
		{name: "whether a machine can be an edge node is decided without a cluster", Rule: Rule{
			From: []string{"./internal/keadm/preflight", "./internal/keadm/cri"}, Not: []string{cloud, edge, helm, "k8s.io/client-go/...", "k8s.io/api/..."},
		}},
		{name: "only the camera simulator, the broker for network cameras and the benchmarks link RTSP", Rule: Rule{
			From: []string{"./..."}, Except: []string{"./samples/simulators/...", "./samples/brokers/ip-camera", "./test/bench/..."}, Not: []string{"github.com/bluenviron/..."},
		}},
		{name: "the camera simulator shares nothing with what it tests", Rule: Rule{
			From: []string{"./samples/simulators/..."}, Not: []string{"./internal/onvif/...", "./samples/camera/...", "./discovery/..."},
		}},
		{name: "samples know no handler, agent or controller", Rule: Rule{
			From: []string{"./samples/..."}, Not: []string{"./internal/handlers/...", agent, controller},
		}},
		{name: "what samples share knows no device", Rule: Rule{
			From: []string{"./samples/brokers", "./samples/services", "./samples/pages"},
			Not:  []string{"./samples/camera/...", "./samples/opcuanode", "github.com/gopcua/...", "github.com/bluenviron/..."},
		}},
		{name: "the local outlier factor is arithmetic", Rule: Rule{
			From: []string{"./samples/apps/anomaly-detection/lof"}, Not: []string{"net", "os", "./internal/..."},
		}},
		{name: "what explains a cluster reads nothing, and links neither agent nor controller nor what speaks to devices", Rule: Rule{
			From: []string{"./internal/explain"},
			Not:  []string{agent, controller, runtime, "k8s.io/client-go/...", grpc, "./discovery/...", "./internal/handlers/all"},
		}},
		{name: "a cluster is read without a controller's libraries", Rule: Rule{
			From: []string{"./internal/explain/snapshot", "./internal/workload/health"}, Not: []string{agent, controller, "sigs.k8s.io/controller-runtime/pkg/manager/..."},
		}},
		{name: "what the dashboard shows and sends is computed, not read", Rule: Rule{
			From: []string{"./internal/dashboard/board", "./internal/dashboard/feed"},
			Not:  []string{agent, controller, runtime, "k8s.io/client-go/..."},
		}},
		{name: "the dashboard is neither agent nor controller", Rule: Rule{
			From: []string{"./cmd/akri-dashboard", "./internal/dashboard/..."},
			Not: []string{agent, controller, cloud, edge, grpc, "./internal/admission/...", "./internal/handlers/all",
				"sigs.k8s.io/controller-runtime/pkg/manager/..."},
		}},
		{name: "the API is alone", Rule: Rule{From: []string{"./api/..."}, Not: []string{"./..."}}},
		{name: "only the OPC UA broker, and tests, link the OPC UA library", Rule: Rule{
			From: []string{"./..."}, Except: []string{"./internal/handlers/opcua/opcuatest", "./samples/brokers/opcua-monitoring"},
			Not: []string{"github.com/gopcua/..."},
		}},
		{name: "nothing depends on programs and tests", Rule: Rule{
			From: []string{"./..."}, Except: []string{"./cmd/...", "./test/..."}, Not: []string{"./cmd/...", "./test/..."},
		}},
		{name: "a guest's first process is small", Rule: Rule{
			From: []string{"./test/vm/init", "./test/vm/wire"}, Not: []string{"./internal/...", "k8s.io/...", grpc, prometheus},
		}},
		{name: "no program links what is for tests", Rule: Rule{ // Helm does
			From: []string{"./cmd/..."}, Except: []string{"./cmd/akri", "./cmd/keadm"},
			Not: []string{"testing", "./internal/leaktest", "./internal/eventually", "./internal/testlog", "./internal/freeport", "./internal/loadgate", "./internal/gobuild", "./internal/peers", "./internal/browsertest", "./internal/handlers/handlertest", "./internal/session/sessiontest", "./internal/edge/edgetest", "./discovery/discoverytest", "./internal/deptest"},
		}},
	} {
		chains, err := g.Check(r.Rule)
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
		for _, c := range chains {
			t.Errorf("%s:\n\t  %s", r.name, c)
		}
	}
}

package contract

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestSteers(t *testing.T) {
	for _, name := range strings.Fields(`
		LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT PATH Path HOME ENV BASH_ENV BASH_FUNC_ls IFS
		http_proxy HTTPS_PROXY ALL_PROXY no_proxy npm_config_https_proxy
		NODE_OPTIONS NODE_EXTRA_CA_CERTS PYTHONPATH PYTHONSTARTUP PERL5OPT PERL5LIB RUBYOPT RUBYLIB
		JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH CATALINA_OPTS DOTNET_STARTUP_HOOKS CORECLR_PROFILER_PATH
		GODEBUG GOCOVERDIR SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF CURL_CA_BUNDLE REQUESTS_CA_BUNDLE AWS_CA_BUNDLE
		KUBERNETES_SERVICE_HOST KUBECONFIG GST_PLUGIN_PATH GCONV_PATH LOCPATH HOSTALIASES RES_OPTIONS ASAN_OPTIONS
		GIT_SSH_COMMAND NVIDIA_VISIBLE_DEVICES TMPDIR TZ LC_ALL MALLOC_CHECK_ FOO_PRELOAD`) {
		if _, ok := Steers(name); !ok {
			t.Errorf("%s may be the name of a property", name)
		}
	}
	// Of upstream's handlers and samples, of ours, and what others may use.
	for _, name := range strings.Fields(`
		UDEV_DEVNODE UDEV_DEVPATH UDEV_DEVNODE_0 ONVIF_DEVICE_SERVICE_URL ONVIF_DEVICE_IP_ADDRESS ONVIF_DEVICE_MAC_ADDRESS ONVIF_DEVICE_UUID
		OPCUA_DISCOVERY_URL MQTT_BROKER_URL MQTT_DEVICE_NAME OPCUA_CERTIFICATES_DIRECTORY DEBUG_ECHO_DESCRIPTION MDNS_ADDRESS MDNS_TXT_UUID MDNS_TXT_OPTIONS_ AKRI_HTTP_DEVICE_ENDPOINT DEVNODE
		URL RTSP_URL HOST PORT IP ADDRESS DEVICE_PATH SERIAL MODEL VENDOR USER USERNAME PASSWORD COLOUR RATE PROXY LD OPTIONS HOMEPAGE
		a.b-c ID_PATH ID_SERIAL_SHORT GOPRO_SERIAL PATHS TEMPERATURE`) {
		if by, ok := Steers(name); ok {
			t.Errorf("%s may not be the name of a property, because of %s", name, by)
		}
	}
}

// The rule is one that a handler's author can read.
func TestSteeringNamesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/write-a-handler.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range slices.Concat(steeringNames(), steeringStarts(), steeringEnds()) {
		if !strings.Contains(string(page), "`"+part+"`") {
			t.Errorf("docs/write-a-handler.md does not say that `%s` is not for properties", part)
		}
	}
}

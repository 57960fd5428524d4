package contract

import "strings"

// A property becomes an environment variable of the broker, which may be any
// program. Some variables steer programs: they decide what is loaded, whom to
// trust and where to look. A handler must not use these names; for a
// Configuration's own brokerProperties its author decides. Upper and lower case
// count as the same, because programs read both (http_proxy).
//
// No list can have what every program reads. This one has the variables that are
// read although the program's author did not ask for it: by the loader and the C
// library, shells and language runtimes, libraries for networks, graphics and
// sound, and clients of the platform. docs/write-a-handler.md lists them.

// steeringNames are whole names.
func steeringNames() []string {
	return []string{
		"PATH", "HOME", "SHELL", "PWD", "ENV", "IFS", "PS4", "CDPATH", "GLOBIGNORE", "SHELLOPTS", "PROMPT_COMMAND",
		"TMPDIR", "TMP", "TEMP", "TZ", "TZDIR", "LANG", "LANGUAGE", "LOCPATH", "NLSPATH", "GCONV_PATH", "GETCONF_DIR",
		"HOSTALIASES", "LOCALDOMAIN", "TERMINFO", "TERMCAP", "EDITOR", "VISUAL", "PAGER", "BROWSER", "CLASSPATH",
		"GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GOTRACEBACK", "GOCOVERDIR",
	}
}

// steeringStarts are how names begin.
func steeringStarts() []string {
	return []string{
		"LD_", "LC_", "GLIBC_", "MALLOC_", "BASH_", "PYTHON", "PERL", "RUBY", "GEM_", "BUNDLE_", "NODE_", "NPM_", "DENO_",
		"JAVA_", "_JAVA_", "JDK_", "DOTNET_", "CORECLR_", "COR_", "COMPLUS_", "COREHOST_", "ASPNETCORE_", "MONO_", "PHP", "LUA_", "ERL_",
		"SSL_", "OPENSSL_", "CURL_", "REQUESTS_", "GIT_", "SSH_", "KRB5", "GRPC_", "OTEL_",
		"KUBE", "DOCKER_", "AWS_", "AZURE_", "GOOGLE_",
		"NVIDIA_", "CUDA_", "GST_", "GIO_", "GTK_", "QT_", "LIBGL_", "LIBVA_", "MESA_", "VK_", "ALSA_", "PULSE_", "XDG_", "DBUS_",
	}
}

// steeringEnds are how names end.
func steeringEnds() []string {
	return []string{"_PROXY", "_OPTIONS", "_OPTS", "_PRELOAD", "_CA_BUNDLE"}
}

// Steers tells whether a variable of this name steers programs, and which part of
// the name says so.
func Steers(name string) (by string, ok bool) {
	name = strings.ToUpper(name)
	for _, whole := range steeringNames() {
		if name == whole {
			return whole, true
		}
	}
	for _, start := range steeringStarts() {
		if strings.HasPrefix(name, start) {
			return start + "…", true
		}
	}
	for _, end := range steeringEnds() {
		if strings.HasSuffix(name, end) {
			return "…" + end, true
		}
	}
	return "", false
}

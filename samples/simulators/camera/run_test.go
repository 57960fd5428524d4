package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

func noEnv(string) string { return "" }

func TestParseAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"10.9.0.1":                         "10.9.0.1",
		"10.9.0.1,10.9.0.7":                "10.9.0.1 10.9.0.7",
		"10.9.0.254-10.9.1.1":              "10.9.0.254 10.9.0.255 10.9.1.0 10.9.1.1",
		"10.9.0.5/29, 10.9.1.0/31":         "10.9.0.1 10.9.0.2 10.9.0.3 10.9.0.4 10.9.0.5 10.9.0.6 10.9.1.0 10.9.1.1",
		"10.9.0.5/32":                      "10.9.0.5",
		"fe80::1%eth0":                     "fe80::1%eth0",
		"2001:db8::/126":                   "2001:db8:: 2001:db8::1 2001:db8::2 2001:db8::3",
		"10.9.0.2-10.9.0.1":                "error",
		"10.9.0.1-::2":                     "error",
		"10.0.0.0/8":                       "error",
		"0.0.0.0/0":                        "error",
		"::/0":                             "error",
		"255.255.255.255-255.255.255.255":  "255.255.255.255",
		"camera":                           "error",
		"10.9.0.1,":                        "error",
		"10.9.0.1-":                        "error",
		"10.9.0.0/33":                      "error",
		"255.255.255.254-255.255.255.255,": "error",
	} {
		got := "error"
		if list, err := parseAddresses(text); err == nil {
			got = strings.Trim(fmt.Sprint(list), "[]")
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--help":                               {exitcode.OK, "WS-Discovery"},
		"--version":                            {exitcode.OK, "camera "},
		"":                                     {exitcode.Usage, "no addresses"},
		"--addresses 127.0.0.1 more":           {exitcode.Usage, `unexpected argument "more"`},
		"--addresses 127.0.0.1 --auth basic":   {exitcode.Usage, "choose none, token, digest or both"},
		"--addresses 127.0.0.1 --digest SHA-1": {exitcode.Usage, "choose among MD5 and SHA-256"},
		"--addresses 127.0.0.1 --count 5000":   {exitcode.Usage, "1 to 2000"},
		"--addresses 127.0.0.1 --first -1":     {exitcode.Usage, "numbers are 1 to 2000"},
		"--addresses 127.0.0.1 --count 2 --first 2000":     {exitcode.Usage, "numbers are 1 to 2000"},
		"--addresses 127.0.0.1 --fault 1:sick":             {exitcode.Usage, "want one of well, silent"},
		"--addresses 127.0.0.1 --fault all":                {exitcode.Usage, "no command"},
		"--addresses 127.0.0.1 --port 65535 --count 2":     {exitcode.Usage, "too high for 2 cameras"},
		"--interface no-such-interface":                    {exitcode.Usage, "no-such-interface"},
		"--addresses 127.0.0.1 --log-level loud":           {exitcode.Usage, "want debug, info"},
		"--addresses 192.0.2.1":                            {exitcode.Failed, "no interface has the address"},
		"--addresses 127.0.0.1 --fault 2:silent":           {exitcode.Failed, "there is no camera 2"},
		"--addresses 127.0.0.1 --fault 1:expired":          {exitcode.Failed, "the cameras use HTTP"},
		"--addresses 127.0.0.1 --port 0 --control 127.0.0": {exitcode.Failed, "control address"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(args), noEnv, &out, &errs)
		if code != want.code || !strings.Contains(out.String()+errs.String(), want.text) {
			t.Errorf("camera %s: %d\n%s%s", args, code, &out, &errs)
		}
	}
}

// The help text has all faults and commands.
func TestHelpHasAllFaults(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, noEnv, &out, io.Discard); code != exitcode.OK {
		t.Fatal(code)
	}
	for _, word := range simulator.Words() {
		if !strings.Contains(out.String(), "  "+word+" ") && !strings.Contains(out.String(), ", "+word+" ") && !strings.Contains(out.String(), word+", ") {
			t.Errorf("nothing about %s", word)
		}
	}
}

// The control endpoint lists the cameras and runs commands.
func TestControl(t *testing.T) {
	leaktest.Check(t)
	address := freeport.Address(t)
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--addresses", "127.0.0.6,127.0.0.7", "--port", "0", "--rtsp-port", "0", "--link-local=false",
			"--control", address, "--fault", "2:slow=1s"}, noEnv, io.Discard, t.Output())
	}()
	defer func() {
		stop()
		if c := <-code; c != exitcode.OK {
			t.Errorf("it ended with %d", c)
		}
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ask := func(method, path, body string, header ...string) (int, []state, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range header {
			r.Header.Set(h, "x")
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, nil, err.Error()
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var list []state
		if resp.StatusCode == http.StatusOK {
			if err := json.Unmarshal(text, &list); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		return resp.StatusCode, list, string(text)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if code, _, text := ask("GET", "/cameras", ""); code != 200 {
			return fmt.Errorf("%d %s", code, text)
		}
		return nil
	})
	faults := func(which string) (list []string) {
		t.Helper()
		_, states, _ := ask("GET", "/cameras/"+which, "")
		for _, s := range states {
			list = append(list, s.Faults)
		}
		return list
	}
	if got := faults("all"); !slices.Equal(got, []string{"well", "slow=1s"}) {
		t.Errorf("at first: %q", got)
	}
	if code, list, text := ask("POST", "/cameras/1", "silent clock=-1h\n"); code != 200 || len(list) != 1 || list[0].UUID != simulator.Identify("akri", 1).UUID {
		t.Errorf("%d %s", code, text)
	}
	if got := faults("1"); !slices.Equal(got, []string{"silent clock=-1h0m0s"}) {
		t.Errorf("then: %q", got)
	}
	if code, list, text := ask("POST", "/cameras/all", "well vanish"); code != 200 || len(list) != 2 || list[0].Running {
		t.Errorf("%d %s", code, text)
	}
	if code, _, text := ask("GET", "/ca.pem", ""); code != 404 || !strings.Contains(text, "--https") {
		t.Errorf("certificate of HTTP: %d %s", code, text)
	}
	for _, bad := range []struct {
		path, body string
		header     string
		code       int
	}{
		{"/cameras/1", "sick", "", 400},
		{"/cameras/1", "", "", 400},
		{"/cameras/1", strings.Repeat("x", maxCommandBytes+1), "", 400},
		{"/cameras/3", "silent", "", 422},
		{"/cameras/1", "expired", "", 422},
		{"/cameras/1", "well", "Origin", 403},
		{"/cameras/1", "well", "Sec-Fetch-Site", 403},
	} {
		var header []string
		if bad.header != "" {
			header = []string{bad.header}
		}
		if code, _, text := ask("POST", bad.path, bad.body, header...); code != bad.code {
			t.Errorf("%s %.20q: %d %s, want %d", bad.path, bad.body, code, text, bad.code)
		}
	}
}

// Command probe runs in Pods of end-to-end tests: it serves HTTP at $LISTEN, port
// 8080 if that is empty, and looks at the cluster and its own container from inside
// on request. On a node, probe get URL prints what a Pod answers; probe note FILE
// TEXT adds a line to a file, for containers that do nothing else.
package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	if len(os.Args) == 3 && os.Args[1] == "get" {
		r := fetch(http.DefaultTransport, os.Args[2], "")
		if r.err != nil {
			fmt.Println(r.err)
			os.Exit(1)
		}
		fmt.Println(r.text)
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "note" {
		if err := note(os.Args[2], os.Args[3]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	go printUevents()
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprint(w, name)
	})
	// What another address answers, from here.
	http.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		answer(w, fetch(http.DefaultTransport, r.FormValue("url"), ""))
	})
	http.HandleFunc("/lookup", func(w http.ResponseWriter, r *http.Request) {
		addrs, err := net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
		answer(w, result{strings.Join(addrs, " "), err})
	})
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.FormValue("name")))
	})
	http.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(r.FormValue("path"))
		answer(w, result{string(text), err})
	})
	// A container that is ill stays so until it ends.
	var ill atomic.Bool
	http.HandleFunc("/ill", func(http.ResponseWriter, *http.Request) { ill.Store(true) })
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			http.Error(w, "ill", http.StatusInternalServerError)
		}
	})
	stop := make(chan os.Signal, 1)
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) {
		select {
		case stop <- syscall.SIGTERM:
		default: // it ends already
		}
	})
	// What the API server answers to this Pod's service account.
	http.HandleFunc("/api", func(w http.ResponseWriter, r *http.Request) {
		ca, err := os.ReadFile(account + "ca.crt")
		token, err2 := os.ReadFile(account + "token")
		if err != nil || err2 != nil {
			answer(w, result{"", fmt.Errorf("%v, %v", err, err2)})
			return
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		url := fmt.Sprintf("https://%s%s", net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")), r.FormValue("path"))
		answer(w, fetch(transport, url, string(token)))
	})
	go func() {
		if err := http.ListenAndServe(cmp.Or(os.Getenv("LISTEN"), ":8080"), nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}()
	fmt.Println("probe serves")
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}

// note adds a line to a file.
func note(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, text)
	return errors.Join(err, f.Close())
}

type result struct {
	text string
	err  error
}

func fetch(rt http.RoundTripper, url, token string) result {
	client := &http.Client{Transport: rt, Timeout: 5 * time.Second}
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return result{"", err}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return result{"", err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return result{fmt.Sprintf("%d %s", resp.StatusCode, body), err}
}

func answer(w http.ResponseWriter, r result) {
	if r.err != nil {
		http.Error(w, r.err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, r.text)
}

// printUevents prints the first line of every kernel event that this Pod gets.
func printUevents() {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 15)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: 1})
	}
	if err != nil {
		fmt.Println("uevents:", err)
		return
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil {
			fmt.Println("uevents:", err)
			return
		}
		first, _, _ := bytes.Cut(buf[:n], []byte{0})
		fmt.Printf("uevent %s\n", first)
	}
}

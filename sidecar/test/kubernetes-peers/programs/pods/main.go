// An API server and a kubelet with one node, for tests: exec, attach and port-forward, by the code of kube-apiserver
// (k8s.io/apiserver/pkg/util/proxy) and of the kubelet and container runtimes (k8s.io/kubelet/pkg/cri/streaming). What is executed runs
// on this machine; ports are those of this machine. Each pod is there, in each namespace.
//
//	pods CERTIFICATE KEY HOST   →   the port, one line
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/httpstream/wsstream"
	"k8s.io/apimachinery/pkg/util/proxy"
	constants "k8s.io/apimachinery/pkg/util/remotecommand"
	translator "k8s.io/apiserver/pkg/util/proxy"
	remote "k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
	"k8s.io/kubelet/pkg/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":%q},"spec":{"nodeName":"node","containers":[{"name":"app","image":"x","stdin":true,"ports":[{"containerPort":80}]}]},"status":{"phase":"Running","podIP":"10.244.0.9"}}`

var discovery = map[string]string{
	"/api":     `{"kind":"APIVersions","versions":["v1"]}`,
	"/apis":    `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
	"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.4"}`,
	"/api/v1":  `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"]}]}`,
}

const patience = time.Minute

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

type server struct {
	address   string
	transport http.RoundTripper
}

func (s server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	switch {
	case parts[0] == "exec" || parts[0] == "attach" || parts[0] == "portForward":
		kubelet(w, req, parts)
	case len(parts) == 7 && parts[4] == "pods":
		s.connect(w, req, parts[3], parts[5], parts[6])
	case len(parts) == 6 && parts[4] == "pods" && parts[5] != "missing":
		answer(w, http.StatusOK, fmt.Sprintf(pod, parts[5], parts[3]))
	case discovery[req.URL.Path] != "":
		answer(w, http.StatusOK, discovery[req.URL.Path])
	default:
		answer(w, http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"pods \"missing\" not found, ask ann@example.com"}`)
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// As pkg/registry/core/pod/rest of kube-apiserver.
func (s server) connect(w http.ResponseWriter, req *http.Request, namespace, name, subresource string) {
	if name == "missing" {
		answer(w, http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"pods \"missing\" not found, ask ann@example.com"}`)
		return
	}
	query := req.URL.Query()
	location := &url.URL{Scheme: "https", Host: s.address}
	if subresource == "portforward" {
		location.Path = fmt.Sprintf("/portForward/%s/%s", namespace, name)
		handler := http.Handler(proxy.NewUpgradeAwareHandler(location, s.transport, false, true, responder{}))
		tunnel := translator.NewTunnelingHandler(handler)
		translator.NewTranslatingHandler(handler, tunnel, wsstream.IsWebSocketRequestWithTunnelingProtocol).ServeHTTP(w, req)
		return
	}
	options := translator.Options{Stdin: isOn(query, "stdin"), Stdout: isOn(query, "stdout"), Stderr: isOn(query, "stderr"), Tty: isOn(query, "tty")}
	streams := url.Values{"command": query["command"]}
	for name, on := range map[string]bool{"input": options.Stdin, "output": options.Stdout, "error": options.Stderr, "tty": options.Tty} {
		if on {
			streams.Set(name, "1")
		}
	}
	location.Path = fmt.Sprintf("/%s/%s/%s/app", subresource, namespace, name)
	location.RawQuery = streams.Encode()
	handler := http.Handler(proxy.NewUpgradeAwareHandler(location, s.transport, false, true, responder{}))
	translating := translator.NewStreamTranslatorHandler(location, s.transport, 0, options)
	isV5 := wsstream.IsWebSocketRequestWithStreamCloseProtocol
	if os.Getenv("WITHOUT_V5") != "" {
		isV5 = func(*http.Request) bool { return false }
	}
	translator.NewTranslatingHandler(handler, translating, isV5).ServeHTTP(w, req)
}

func isOn(query url.Values, name string) bool {
	return query.Get(name) == "true" || query.Get(name) == "1"
}

// As pkg/kubelet/server.
func kubelet(w http.ResponseWriter, req *http.Request, parts []string) {
	if parts[0] == "portForward" {
		options, err := portforward.NewV4Options(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, req, runtime{}, parts[2], "", options, patience, patience, portforward.SupportedProtocols)
		return
	}
	options, err := remotecommand.NewOptions(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	protocols := constants.SupportedStreamingProtocols
	if parts[0] == "attach" {
		remotecommand.ServeAttach(w, req, runtime{}, parts[2], "", parts[3], options, patience, patience, protocols)
		return
	}
	remotecommand.ServeExec(w, req, runtime{}, parts[2], "", parts[3], req.URL.Query()["command"], options, patience, patience, protocols)
}

type runtime struct{}

func (runtime) ExecInContainer(ctx context.Context, _ string, _ types.UID, _ string, words []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remote.TerminalSize, _ time.Duration) error {
	if tty {
		return terminal(in, out, resize)
	}
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	// Without a copy that waits for stdin where the command does not.
	if in != nil {
		pipe, err := command.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	if out != nil {
		command.Stdout = out
	}
	if errs != nil {
		command.Stderr = errs
	}
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return err
}

// Echoes, says each size, and ends with `exit N` and a carriage return.
func terminal(in io.Reader, out io.Writer, resize <-chan remote.TerminalSize) error {
	go func() {
		for size := range resize {
			fmt.Fprintf(out, "size %dx%d\r\n", size.Width, size.Height)
		}
	}()
	io.WriteString(out, "$ ")
	buffer, line := make([]byte, 1024), []byte{}
	for {
		n, err := in.Read(buffer)
		out.Write(buffer[:n])
		line = append(line, buffer[:n]...)
		if at := bytes.LastIndex(line, []byte("exit ")); at >= 0 && bytes.ContainsAny(line[at:], "\r\n") {
			code := 0
			fmt.Sscanf(string(line[at:]), "exit %d", &code)
			if code == 0 {
				return nil
			}
			return utilexec.CodeExitError{Err: errors.New("it failed"), Code: code}
		}
		if err != nil {
			return nil
		}
	}
}

func (runtime) AttachContainer(_ context.Context, _ string, _ types.UID, _ string, in io.Reader, out, _ io.WriteCloser, _ bool, resize <-chan remote.TerminalSize) error {
	return terminal(in, out, resize)
}

func (runtime) PortForward(_ context.Context, _ string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	to, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	go func() {
		io.Copy(stream, to)
		done <- struct{}{}
	}()
	go func() {
		io.Copy(to, stream)
		to.(*net.TCPConn).CloseWrite()
	}()
	<-done
	return nil
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(os.Args[3], "0"))
	if err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
	serving := &http.Server{
		Handler:   server{address: listener.Addr().String(), transport: transport},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}},
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	// Ends with whoever started it.
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(serving.ServeTLS(listener, "", ""))
}

// Tells how kube-apiserver reads things, one JSON line for each that comes in. "requests": {method, target};
// "bodies": base64 of a body, read as JSON and as YAML.
package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strings"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

type question struct{ Method, Target string }

type answer struct {
	Error         string              `json:"error,omitempty"`
	IsResource    bool                `json:"isResource"`
	Path          string              `json:"path"`
	Verb          string              `json:"verb"`
	Group         string              `json:"group"`
	Version       string              `json:"version"`
	Namespace     string              `json:"namespace"`
	Resource      string              `json:"resource"`
	Subresource   string              `json:"subresource"`
	Name          string              `json:"name"`
	Parts         int                 `json:"parts"`
	FieldSelector string              `json:"fieldSelector"`
	LabelSelector string              `json:"labelSelector"`
	Query         map[string][]string `json:"query"`
	// Whether the parameters are those of a list, as the API server decodes them.
	ListError string `json:"listError,omitempty"`
}

func main() {
	klog.LogToStderr(false)
	klog.SetOutput(discard{})
	resolver := &request.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 8<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		if os.Args[1] == "bodies" {
			var body []byte
			if err := json.Unmarshal(lines.Bytes(), &body); err != nil {
				panic(err)
			}
			if err := encoder.Encode(readBody(body)); err != nil {
				panic(err)
			}
			continue
		}
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := encoder.Encode(read(resolver, asked)); err != nil {
			panic(err)
		}
	}
}

// From the bytes of the wire on, so that Go's own reading of them counts too.
func read(resolver *request.RequestInfoFactory, asked question) answer {
	wire := asked.Method + " " + asked.Target + " HTTP/1.1\r\nHost: api\r\n\r\n"
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return answer{Error: err.Error()}
	}
	info, err := resolver.NewRequestInfo(req)
	if err != nil {
		return answer{Error: err.Error()}
	}
	found := answer{
		IsResource: info.IsResourceRequest, Path: info.Path, Verb: info.Verb, Group: info.APIGroup, Version: info.APIVersion,
		Namespace: info.Namespace, Resource: info.Resource, Subresource: info.Subresource, Name: info.Name, Parts: len(info.Parts),
		FieldSelector: info.FieldSelector, LabelSelector: info.LabelSelector, Query: req.URL.Query(),
	}
	options := metainternalversion.ListOptions{}
	err = metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion, &options)
	if err != nil {
		found.ListError = err.Error()
	}
	return found
}

type bodyAnswer struct {
	JSON      any    `json:"json"`
	JSONError string `json:"jsonError,omitempty"`
	YAML      any    `json:"yaml"`
	YAMLError string `json:"yamlError,omitempty"`
}

// The decoders of kube-apiserver, and strict: what they would only warn of is an error here.
func readBody(body []byte) bodyAnswer {
	var found bodyAnswer
	strict, err := kjson.UnmarshalStrict(body, &found.JSON)
	for _, each := range append(strict, err) {
		if each != nil {
			found.JSONError = each.Error()
		}
	}
	if err := yaml.UnmarshalStrict(body, &found.YAML); err != nil {
		found.YAMLError = err.Error()
	}
	return found
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Tells how the API's objects are laid out in protobuf and JSON, as Kubernetes' own types say, and judges what is made of them.
//
//	protobuf schema            the table that the sidecar reads bodies by, as a module of TypeScript
//	protobuf objects N SEED    N objects as a client sends them, a line each, in base64
//	protobuf same              reads lines of a body in base64 and JSON; says of each whether a server reads the same in both
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch {
	case len(os.Args) == 2 && os.Args[1] == "schema":
		write(out)
	case len(os.Args) == 4 && os.Args[1] == "objects":
		count, _ := strconv.Atoi(os.Args[2])
		seed, _ := strconv.ParseInt(os.Args[3], 10, 64)
		objects(out, count, seed)
	case len(os.Args) == 2 && os.Args[1] == "same":
		same(out)
	default:
		fmt.Fprintln(os.Stderr, "protobuf schema | protobuf objects N SEED | protobuf same")
		os.Exit(2)
	}
}

// Kinds that a client may send: not lists, which servers send, and nothing internal.
func kinds() []schema.GroupVersionKind {
	var found []schema.GroupVersionKind
	for kind, goType := range scheme.Scheme.AllKnownTypes() {
		if kind.Version == runtime.APIVersionInternal || strings.HasSuffix(kind.Kind, "List") {
			continue
		}
		// Registered in every group; there is one of each for all, and clients send one of them.
		if strings.HasPrefix(goType.PkgPath(), "k8s.io/apimachinery/") && kind.String() != "/v1, Kind=DeleteOptions" {
			continue
		}
		if _, ok := reflect.New(goType).Interface().(interface{ Marshal() ([]byte, error) }); !ok {
			continue
		}
		found = append(found, kind)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].String() < found[j].String() })
	return found
}

// Go types whose JSON is not that of their fields.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":       "t",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":  "m",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":   "r",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":   "q",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString": "o",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":    "r",
}

type table struct {
	places   map[reflect.Type]int
	messages []string
}

func write(out *bufio.Writer) {
	t := &table{places: map[reflect.Type]int{}}
	roots := []string{}
	for _, kind := range kinds() {
		apiVersion, name := kind.ToAPIVersionAndKind()
		roots = append(roots, fmt.Sprintf("%s %s %d", apiVersion, name, t.message(scheme.Scheme.AllKnownTypes()[kind])))
	}
	fmt.Fprintf(out, `// Written by sidecar/test/kubernetes-peers from the types of k8s.io/api 0.34.4; see protobuf.ts for how to read it.

/** A kind a line: apiVersion, kind, and the line of its message, from 0. */
export const KINDS = %s
%s
%s;

/** A message a line: number, name in JSON (- where its fields are those of what holds it) and shape of each field. */
export const MESSAGES = %s
%s
%s;
`, "`", strings.Join(roots, "\n"), "`", "`", strings.Join(t.messages, "\n"), "`")
}

// The line of a struct's fields.
func (t *table) message(goType reflect.Type) int {
	if at, known := t.places[goType]; known {
		return at
	}
	at := len(t.messages)
	t.places[goType] = at
	t.messages = append(t.messages, "")
	fields := []string{}
	for i := 0; i < goType.NumField(); i++ {
		f := goType.Field(i)
		if f.Type == reflect.TypeOf(metav1.TypeMeta{}) {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		number := strings.Split(f.Tag.Get("protobuf"), ",")[1]
		if name == "" {
			if options != "inline" {
				panic(fmt.Sprintf("%s.%s has no name in JSON", goType, f.Name))
			}
			name = "-"
		}
		fields = append(fields, number+" "+name+" "+t.shape(f.Type))
	}
	t.messages[at] = strings.Join(fields, ",")
	return at
}

// A scalar's letter or a message's line, after [ for a list, { for a map by strings, ( for a list that is a message of its own.
func (t *table) shape(goType reflect.Type) string {
	if letter, ok := special[goType.PkgPath()+"."+goType.Name()]; ok {
		return letter
	}
	switch goType.Kind() {
	case reflect.Pointer:
		return t.shape(goType.Elem())
	case reflect.String:
		return "s"
	case reflect.Bool:
		return "b"
	case reflect.Int32, reflect.Int64:
		return "i"
	case reflect.Slice:
		if goType.Elem().Kind() == reflect.Uint8 {
			return "y"
		}
		if _, ok := reflect.New(goType).Interface().(interface{ Marshal() ([]byte, error) }); ok {
			return "(" + t.shape(goType.Elem())
		}
		return "[" + t.shape(goType.Elem())
	case reflect.Map:
		return "{" + t.shape(goType.Elem())
	case reflect.Struct:
		return strconv.Itoa(t.message(goType))
	}
	panic("no shape for " + goType.String())
}

func objects(out *bufio.Writer, count int, seed int64) {
	codecs := serializer.NewCodecFactory(scheme.Scheme)
	filler := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(seed), codecs).NumElements(0, 3).NilChance(0.3).MaxDepth(24)
	encoder := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	all := kinds()
	for i := 0; i < count; i++ {
		kind := all[i%len(all)]
		object, err := scheme.Scheme.New(kind)
		check(err)
		filler.Fill(object)
		object.GetObjectKind().SetGroupVersionKind(kind)
		var body bytes.Buffer
		check(encoder.Encode(object, &body))
		fmt.Fprintln(out, base64.StdEncoding.EncodeToString(body.Bytes()))
	}
}

func same(out *bufio.Writer) {
	binary := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	text := kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, kjson.SerializerOptions{Strict: true})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		encoded, inJSON, _ := strings.Cut(lines.Text(), " ")
		body, err := base64.StdEncoding.DecodeString(encoded)
		check(err)
		sent, kind, err := binary.Decode(body, nil, nil)
		check(err)
		made, _, err := text.Decode([]byte(inJSON), nil, nil)
		sent.GetObjectKind().SetGroupVersionKind(*kind)
		switch {
		case err != nil:
			fmt.Fprintln(out, strings.ReplaceAll(err.Error(), "\n", " "))
		case !equality.Semantic.DeepEqual(sent, made):
			fmt.Fprintln(out, kind.String()+strings.ReplaceAll(cmp.Diff(sent, made), "\n", " "))
		default:
			fmt.Fprintln(out, "same")
		}
	}
	check(lines.Err())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Informers of client-go, dynamic and typed, and its typed client, before whatever server a kubeconfig names.
//
//	client-go KUBECONFIG NAMESPACE: says "synced" once its caches are filled, and what they hold as JSON once its input has ended
//	and they hold a ConfigMap and a Secret named "last".
//	client-go KUBECONFIG NAMESPACE calls: gets, lists by pages, watches, patches; says as JSON what it saw.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	check(err)
	namespace := os.Args[2]
	var said any
	if len(os.Args) > 3 {
		said = calls(config, namespace)
	} else {
		said = inform(config, namespace)
	}
	check(json.NewEncoder(os.Stdout).Encode(said))
}

// What a cache holds, by name: the version and the data of each object.
type entry struct {
	Version string            `json:"version"`
	Data    map[string]string `json:"data"`
}

type informed struct {
	ConfigMaps map[string]entry `json:"configMaps"`
	Secrets    map[string]entry `json:"secrets"`
	// How often a reflector had to list anew, or said why it could not watch.
	Faults []string `json:"faults"`
	// Objects that were added, changed or deleted, as handlers were told.
	Events int `json:"events"`
}

func inform(config *rest.Config, namespace string) informed {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	anything, err := dynamic.NewForConfig(config)
	check(err)
	typed, err := kubernetes.NewForConfig(config)
	check(err)
	said := informed{ConfigMaps: map[string]entry{}, Secrets: map[string]entry{}, Faults: []string{}}
	var lock sync.Mutex
	note := func(_ *cache.Reflector, err error) {
		lock.Lock()
		defer lock.Unlock()
		said.Faults = append(said.Faults, err.Error())
	}
	count := func() {
		lock.Lock()
		defer lock.Unlock()
		said.Events++
	}
	configMaps := dynamicinformer.NewFilteredDynamicSharedInformerFactory(anything, 0, namespace, nil).
		ForResource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Informer()
	secrets := informers.NewSharedInformerFactoryWithOptions(typed, 0, informers.WithNamespace(namespace)).Core().V1().Secrets().Informer()
	for _, informer := range []cache.SharedIndexInformer{configMaps, secrets} {
		check(informer.SetWatchErrorHandler(note))
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { count() },
			UpdateFunc: func(any, any) { count() },
			DeleteFunc: func(any) { count() },
		})
		check(err)
		go informer.Run(ctx.Done())
	}
	if !cache.WaitForCacheSync(ctx.Done(), configMaps.HasSynced, secrets.HasSynced) {
		os.Exit(1)
	}
	fmt.Println("synced")
	_, err = io.Copy(io.Discard, os.Stdin)
	check(err)
	// Events come in the order of versions: who has seen the last object has seen what was done before.
	check(wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		_, hasMap, _ := configMaps.GetStore().GetByKey(namespace + "/last")
		_, hasSecret, _ := secrets.GetStore().GetByKey(namespace + "/last")
		return hasMap && hasSecret, nil
	}))
	for _, object := range configMaps.GetStore().List() {
		object := object.(*unstructured.Unstructured)
		data, _, _ := unstructured.NestedStringMap(object.Object, "data")
		said.ConfigMaps[object.GetName()] = entry{object.GetResourceVersion(), data}
	}
	for _, object := range secrets.GetStore().List() {
		secret := object.(*corev1.Secret)
		said.Secrets[secret.Name] = entry{secret.ResourceVersion, textOf(secret.Data)}
	}
	lock.Lock()
	defer lock.Unlock()
	return said
}

func textOf(data map[string][]byte) map[string]string {
	texts := map[string]string{}
	for key, value := range data {
		texts[key] = string(value)
	}
	return texts
}

type called struct {
	Got     map[string]string `json:"got"`
	Pages   int               `json:"pages"`
	Listed  []string          `json:"listed"`
	Watched []string          `json:"watched"`
	Patched string            `json:"patched"`
	Refused string            `json:"refused"`
}

func calls(config *rest.Config, namespace string) called {
	ctx := context.Background()
	client, err := kubernetes.NewForConfig(config)
	check(err)
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, "db", metav1.GetOptions{})
	check(err)
	said := called{Got: textOf(secret.Data), Listed: []string{}, Watched: []string{}}
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		said.Pages++
		return client.CoreV1().ConfigMaps(namespace).List(ctx, options)
	})
	pages.PageSize = 7
	check(pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		said.Listed = append(said.Listed, object.(*corev1.ConfigMap).Name)
		return nil
	}))
	watch, err := client.CoreV1().Secrets(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=db", ResourceVersion: "0"})
	check(err)
	event := <-watch.ResultChan()
	watch.Stop()
	said.Watched = append(said.Watched, string(event.Type), textOf(event.Object.(*corev1.Secret).Data)["password"])
	patched, err := client.CoreV1().ConfigMaps(namespace).Patch(ctx, "c-1", types.StrategicMergePatchType,
		[]byte(`{"data":{"by":"client-go"}}`), metav1.PatchOptions{})
	check(err)
	said.Patched = patched.Data["by"]
	_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		said.Refused = err.Error()
	}
	return said
}

// Command kstatus polls one object and says, as the library that Helm 4 and Flux wait by sees it, how far it is.
//
//	kstatus [-interval 1s] [-count N] GROUP/VERSION/RESOURCE NAMESPACE NAME
//
// The group of the core API is empty: /v1/services. NAMESPACE "-" is for what lies in none. It takes the cluster of
// KUBECONFIG and writes one JSON line each time, until SIGTERM, SIGINT or the count:
//
//	{"time":"...","generation":2,"observedGeneration":2,"ready":"True","reason":"...","kstatus":"Current","message":"..."}
//
// An object that is not there has the kstatus "NotFound"; a failed request has only time and error.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

type line struct {
	Time string `json:"time"`
	// Absent in an object that is not there.
	Generation         *int64 `json:"generation,omitempty"`
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// Status and reason of the condition Ready, "" without one.
	Ready   string `json:"ready"`
	Reason  string `json:"reason"`
	Kstatus string `json:"kstatus,omitempty"`
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
}

func main() {
	interval := flag.Duration("interval", time.Second, "from poll to poll")
	count := flag.Int("count", 0, "end after so many polls; 0: never")
	flag.Parse()
	if flag.NArg() != 3 || *interval <= 0 {
		fmt.Fprintln(os.Stderr, "usage: kstatus [-interval 1s] [-count N] GROUP/VERSION/RESOURCE NAMESPACE NAME")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := poll(ctx, *interval, *count, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func poll(ctx context.Context, interval time.Duration, count int, args []string) error {
	objects, err := open(args[0], args[1])
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for done := 1; ; done++ {
		asked := time.Now()
		seen := look(ctx, objects, args[2], interval)
		if ctx.Err() != nil {
			return nil
		}
		seen.Time = asked.UTC().Format(time.RFC3339Nano)
		if err := out.Encode(seen); err != nil {
			return err
		}
		if done == count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func open(resource, namespace string) (dynamic.ResourceInterface, error) {
	parts := strings.Split(resource, "/")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is not GROUP/VERSION/RESOURCE", resource)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	all := client.Resource(schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]})
	if namespace == "-" {
		return all, nil
	}
	return all.Namespace(namespace), nil
}

func look(ctx context.Context, objects dynamic.ResourceInterface, name string, interval time.Duration) line {
	ctx, cancel := context.WithTimeout(ctx, max(interval, 5*time.Second))
	defer cancel()
	object, err := objects.Get(ctx, name, metav1.GetOptions{})
	if errors.IsNotFound(err) {
		return line{Kstatus: string(status.NotFoundStatus)}
	}
	if err != nil {
		return line{Error: err.Error()}
	}
	result, err := status.Compute(object)
	if err != nil {
		return line{Error: err.Error()}
	}
	generation := object.GetGeneration()
	seen := line{Generation: &generation, Kstatus: result.Status.String(), Message: result.Message}
	if observed, found, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration"); found {
		seen.ObservedGeneration = &observed
	}
	seen.Ready, seen.Reason = readyOf(object)
	return seen
}

func readyOf(object *unstructured.Unstructured) (status, reason string) {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, each := range conditions {
		condition, ok := each.(map[string]any)
		if !ok || condition["type"] != "Ready" {
			continue
		}
		status, _, _ = unstructured.NestedString(condition, "status")
		reason, _, _ = unstructured.NestedString(condition, "reason")
	}
	return status, reason
}

// Command echo is a pod that tests talk to. It listens on :8080:
//
//	/             its pod and node, from the environment variables POD and NODE, and the address that asked
//	/lookup?name= the addresses of a DNS name, as this pod resolves it
//	/get?url=     status and body of what this pod gets there, over a new connection
//
// Every answer is one JSON object.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"syscall"
	"time"
)

const (
	limit        = 5 * time.Second
	bodyBytesMax = 1 << 20
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", who)
	mux.HandleFunc("/lookup", lookup)
	mux.HandleFunc("/get", get)
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: limit}
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-stopped.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

func who(w http.ResponseWriter, r *http.Request) {
	answer(w, map[string]any{"pod": os.Getenv("POD"), "node": os.Getenv("NODE"), "from": r.RemoteAddr})
}

func lookup(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, r.URL.Query().Get("name"))
	if err != nil {
		failed(w, err)
		return
	}
	sort.Strings(addresses)
	answer(w, map[string]any{"addresses": addresses})
}

func get(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL.Query().Get("url"), nil)
	if err != nil {
		failed(w, err)
		return
	}
	// A kept connection would stay with the endpoint that it found first.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		failed(w, err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyBytesMax))
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, map[string]any{"status": response.StatusCode, "body": string(body)})
}

func failed(w http.ResponseWriter, err error) {
	w.WriteHeader(http.StatusBadGateway)
	answer(w, map[string]any{"error": err.Error()})
}

func answer(w http.ResponseWriter, value any) {
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}

// Command go measures one operation of Go's clientv3, and prints one JSON line. The procedure is that of
// bench/src/measure.ts.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type result struct {
	Client      string  `json:"client"`
	Op          string  `json:"op"`
	Concurrency int     `json:"concurrency"`
	ValueBytes  int     `json:"valueBytes"`
	Connections int     `json:"connections"`
	Ops         int     `json:"ops"`
	Seconds     float64 `json:"seconds"`
	CPUSeconds  float64 `json:"cpuSeconds"`
	P50Micros   float64 `json:"p50Micros"`
	P99Micros   float64 `json:"p99Micros"`
	MaxRSSMiB   float64 `json:"maxRssMiB"`
	IdleRSSMiB  float64 `json:"idleRssMiB"`
	// For event loops, which Go doesn't have.
	MaxStallMs    float64 `json:"maxStallMs"`
	MaxOwnStallMs float64 `json:"maxOwnStallMs"`
}

// workload is what to measure, and for how long.
type workload struct {
	endpoint    string
	op          string
	concurrency int
	valueBytes  int
	connections int
	seconds     float64
	warmup      float64
	keys        int
	pageSize    int
	// For leases only.
	leases  int
	windows int
	ttl     int64
	// For watches only.
	events        int
	startRevision int64
	// For bursts and slow only.
	watches int
	bursts  int
	slow    int
	// For what sessions do.
	sessions int
	times    int
	shared   int
}

const keyPrefix = "bench/"

func keyName(index int) string { return fmt.Sprintf("%s%04d", keyPrefix, index) }

func main() {
	var w workload
	flag.StringVar(&w.endpoint, "endpoint", "", "etcd's client URL")
	flag.StringVar(&w.op, "op", "get", "get, put, range, txn, list, leases, cold-start, living, bursts, slow, idle, locks, elections, sessions, keepalives, tail-get, tail-put, watch-replay or watch-many")
	flag.IntVar(&w.concurrency, "concurrency", 1, "operations in flight")
	flag.IntVar(&w.valueBytes, "valueBytes", 32, "size of what put writes")
	flag.IntVar(&w.connections, "connections", 1, "clients, used in turn")
	flag.Float64Var(&w.seconds, "seconds", 2, "timed part")
	flag.Float64Var(&w.warmup, "warmup", 0.5, "seconds before it")
	flag.IntVar(&w.keys, "keys", 1000, "number of keys")
	flag.IntVar(&w.events, "events", 0, "events to wait for; of watch-many also the number of watches")
	flag.Int64Var(&w.startRevision, "startRevision", 0, "where watch-replay starts")
	flag.IntVar(&w.watches, "watches", 0, "watches of bursts and slow")
	flag.IntVar(&w.bursts, "bursts", 0, "how often all keys of bursts change")
	flag.IntVar(&w.slow, "slow", 0, "slow watches beside those of slow")
	flag.IntVar(&w.sessions, "sessions", 0, "sessions or leases")
	flag.IntVar(&w.times, "times", 0, "how often each session acquires and releases")
	flag.IntVar(&w.shared, "shared", 0, "1: all acquire the same")
	flag.IntVar(&w.leases, "leases", 1000, "leases to keep alive")
	flag.IntVar(&w.windows, "windows", 1, "timed parts one after another")
	flag.Int64Var(&w.ttl, "ttl", 6, "TTL of each, in seconds")
	flag.IntVar(&w.pageSize, "pageSize", 10000, "keys a page of list")
	flag.Parse()
	if err := run(w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w workload) error {
	if w.op == "list" {
		return list(w.endpoint, w.pageSize)
	}
	if w.op == "leases" {
		return keepLeases(w.endpoint, w.leases, w.ttl, w.warmup, w.seconds, w.windows)
	}
	if w.op == "living" {
		return live(w)
	}
	if slices.Contains([]string{"bursts", "slow", "idle", "locks", "elections", "sessions", "keepalives"}, w.op) {
		return pressure(w)
	}
	if w.op == "cold-start" {
		return coldStart(w.endpoint)
	}
	if strings.HasPrefix(w.op, "tail-") {
		return tail(w)
	}
	if strings.HasPrefix(w.op, "watch-") {
		return measureWatch(w.endpoint, w.op, w.events, w.startRevision)
	}
	r, err := measure(w)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func connect(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		// The limit that etcd itself allows. clientv3's default is 2 MiB, which an answer of 1,000 keys may exceed.
		MaxCallRecvMsgSize: math.MaxInt32,
	})
}

func coldStart(endpoint string) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Get(context.Background(), keyName(0))
	return err
}

// caller returns a function that does one operation, on one of the clients.
func caller(op, value string) (func(client *clientv3.Client, key string) error, error) {
	ctx := context.Background()
	switch op {
	case "get":
		return func(client *clientv3.Client, key string) error {
			_, err := client.Get(ctx, key)
			return err
		}, nil
	case "put":
		return func(client *clientv3.Client, key string) error {
			_, err := client.Put(ctx, key, value)
			return err
		}, nil
	case "range":
		return func(client *clientv3.Client, _ string) error {
			_, err := client.Get(ctx, keyPrefix, clientv3.WithPrefix())
			return err
		}, nil
	case "txn":
		return func(client *clientv3.Client, key string) error {
			_, err := client.Txn(ctx).
				If(clientv3.Compare(clientv3.Version(key), ">", 0)).
				Then(clientv3.OpPut(key, value)).
				Commit()
			return err
		}, nil
	default:
		return nil, fmt.Errorf("no operation is named %s", op)
	}
}

func measure(w workload) (*result, error) {
	clients := make([]*clientv3.Client, w.connections)
	for i := range clients {
		client, err := connect(w.endpoint)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		clients[i] = client
	}
	idleRSS := residentMiB()

	names := make([]string, w.keys)
	for i := range names {
		names[i] = keyName(i)
	}
	call, err := caller(w.op, strings.Repeat("v", w.valueBytes))
	if err != nil {
		return nil, err
	}

	var next atomic.Int64
	turns := func(duration time.Duration) (time.Duration, [][]time.Duration, error) {
		latencies := make([][]time.Duration, w.concurrency)
		errs := make([]error, w.concurrency)
		var workers sync.WaitGroup
		start := time.Now()
		for worker := range w.concurrency {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for before := time.Now(); before.Sub(start) < duration; {
					turn := int(next.Add(1))
					if errs[worker] = call(clients[turn%len(clients)], names[turn%w.keys]); errs[worker] != nil {
						return
					}
					now := time.Now()
					latencies[worker] = append(latencies[worker], now.Sub(before))
					before = now
				}
			}()
		}
		workers.Wait()
		for _, err := range errs {
			if err != nil {
				return 0, nil, err
			}
		}
		return time.Since(start), latencies, nil
	}

	if _, _, err := turns(asDuration(w.warmup)); err != nil {
		return nil, err
	}
	cpuBefore := cpuSeconds()
	elapsed, latencies, err := turns(asDuration(w.seconds))
	if err != nil {
		return nil, err
	}
	cpu := cpuSeconds() - cpuBefore
	all := slices.Concat(latencies...)
	slices.Sort(all)
	quantile := func(q float64) float64 {
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Nanoseconds()) / 1e3
	}
	return &result{
		"clientv3", w.op, w.concurrency, w.valueBytes, w.connections, len(all), elapsed.Seconds(), cpu,
		quantile(0.5), quantile(0.99), maxRSSMiB(), idleRSS, 0, 0,
	}, nil
}

func asDuration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

// residentMiB returns 0 if there is no /proc.
func residentMiB() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return float64(resident*os.Getpagesize()) / (1 << 20)
}

func maxRSSMiB() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Maxrss) / 1024
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

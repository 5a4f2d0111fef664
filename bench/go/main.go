// Command go measures one operation of Go's clientv3, and prints one JSON line: the same procedure as
// bench/src/measure.ts.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
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
	Ops         int     `json:"ops"`
	Seconds     float64 `json:"seconds"`
	CPUSeconds  float64 `json:"cpuSeconds"`
	P50Micros   float64 `json:"p50Micros"`
	P99Micros   float64 `json:"p99Micros"`
}

func main() {
	endpoint := flag.String("endpoint", "", "etcd's client URL")
	op := flag.String("op", "get", "get or put")
	concurrency := flag.Int("concurrency", 1, "operations in flight")
	seconds := flag.Float64("seconds", 2, "timed part")
	warmup := flag.Float64("warmup", 0.5, "seconds before it")
	keys := flag.Int("keys", 1000, "number of keys")
	value := flag.String("value", "", "what put writes")
	flag.Parse()
	r, err := measure(*endpoint, *op, *concurrency, *seconds, *warmup, *keys, *value)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}

func measure(endpoint, op string, concurrency int, seconds, warmup float64, keys int, value string) (*result, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	defer client.Close()

	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("bench/%04d", i)
	}
	ctx := context.Background()
	call := func(key string) error {
		_, err := client.Get(ctx, key)
		return err
	}
	if op == "put" {
		call = func(key string) error {
			_, err := client.Put(ctx, key, value)
			return err
		}
	}

	var next atomic.Int64
	run := func(duration time.Duration) (time.Duration, [][]time.Duration, error) {
		latencies := make([][]time.Duration, concurrency)
		errs := make([]error, concurrency)
		var workers sync.WaitGroup
		start := time.Now()
		for w := range concurrency {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for before := time.Now(); before.Sub(start) < duration; {
					if errs[w] = call(names[int(next.Add(1))%keys]); errs[w] != nil {
						return
					}
					now := time.Now()
					latencies[w] = append(latencies[w], now.Sub(before))
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

	if _, _, err := run(asDuration(warmup)); err != nil {
		return nil, err
	}
	cpuBefore := cpuSeconds()
	elapsed, latencies, err := run(asDuration(seconds))
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
		"clientv3", op, concurrency, len(all), elapsed.Seconds(), cpu, quantile(0.5), quantile(0.99),
	}, nil
}

func asDuration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

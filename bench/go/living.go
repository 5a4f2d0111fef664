package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// batch is what one line of standard input requests: see bench/src/living.ts.
type batch struct {
	Op          string `json:"op"`
	Concurrency int    `json:"concurrency"`
	Ops         int64  `json:"ops"`
}

type batchTaken struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
	// For single operations; 0 if more than one was in flight.
	P50Micros float64 `json:"p50Micros"`
	P99Micros float64 `json:"p99Micros"`
}

// live does a batch for each line of standard input, until it ends.
func live(w workload) error {
	client, err := connect(w.endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	names := make([]string, w.keys)
	for i := range names {
		names[i] = keyName(i)
	}
	value := strings.Repeat("v", w.valueBytes)
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var next batch
		if err := in.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		taken, err := take(client, names, value, w, next)
		if err != nil {
			return err
		}
		if err := out.Encode(taken); err != nil {
			return err
		}
	}
}

func take(client *clientv3.Client, names []string, value string, w workload, b batch) (*batchTaken, error) {
	call, err := livingCaller(b.Op, value, w)
	if err != nil {
		return nil, err
	}
	var begun atomic.Int64
	errs := make([]error, b.Concurrency)
	var latencies []time.Duration
	var workers sync.WaitGroup
	cpuBefore, start := cpuSeconds(), time.Now()
	for worker := range b.Concurrency {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for before := time.Now(); ; {
				turn := begun.Add(1) - 1
				if turn >= b.Ops {
					return
				}
				if errs[worker] = call(client, names[turn%int64(len(names))]); errs[worker] != nil {
					return
				}
				if b.Concurrency == 1 {
					now := time.Now()
					latencies = append(latencies, now.Sub(before))
					before = now
				}
			}
		}()
	}
	workers.Wait()
	elapsed, cpu := time.Since(start), cpuSeconds()-cpuBefore
	slices.Sort(latencies)
	quantile := func(q float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return float64(latencies[min(len(latencies)-1, int(q*float64(len(latencies))))].Nanoseconds()) / 1e3
	}
	return &batchTaken{elapsed.Seconds(), cpu, quantile(0.5), quantile(0.99)}, errors.Join(errs...)
}

// livingCaller returns a function that does one operation of the gate.
func livingCaller(op, value string, w workload) (func(client *clientv3.Client, key string) error, error) {
	ctx := context.Background()
	switch op {
	case "list":
		return func(client *clientv3.Client, _ string) error {
			_, err := listAll(ctx, client, w.pageSize)
			return err
		}, nil
	case "raw watch":
		return func(client *clientv3.Client, _ string) error {
			counted, err := client.Get(ctx, listPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
			if err != nil {
				return err
			}
			return rawWatch(ctx, client, listPrefix, w.startRevision, counted.Count)
		}, nil
	case "watch":
		return func(client *clientv3.Client, _ string) error {
			counted, err := client.Get(ctx, listPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
			if err != nil {
				return err
			}
			watched, stop := context.WithCancel(ctx)
			defer stop()
			left := counted.Count
			for answer := range client.Watch(watched, listPrefix, clientv3.WithPrefix(), clientv3.WithRev(w.startRevision)) {
				if err := answer.Err(); err != nil {
					return err
				}
				if left -= int64(len(answer.Events)); left <= 0 {
					return nil
				}
			}
			return errors.New("the watch has ended")
		}, nil
	default:
		return caller(op, value)
	}
}

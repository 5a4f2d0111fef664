package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// batch is what one line of standard input asks for: see bench/src/living.ts.
type batch struct {
	Op          string `json:"op"`
	Concurrency int    `json:"concurrency"`
	Ops         int64  `json:"ops"`
}

type batchTaken struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
}

// live does a batch for each line of standard input, until that ends.
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
		taken, err := take(client, names, value, next)
		if err != nil {
			return err
		}
		if err := out.Encode(taken); err != nil {
			return err
		}
	}
}

func take(client *clientv3.Client, names []string, value string, b batch) (*batchTaken, error) {
	call, err := caller(b.Op, value)
	if err != nil {
		return nil, err
	}
	var begun atomic.Int64
	errs := make([]error, b.Concurrency)
	var workers sync.WaitGroup
	cpuBefore, start := cpuSeconds(), time.Now()
	for worker := range b.Concurrency {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				turn := begun.Add(1) - 1
				if turn >= b.Ops {
					return
				}
				if errs[worker] = call(client, names[turn%int64(len(names))]); errs[worker] != nil {
					return
				}
			}
		}()
	}
	workers.Wait()
	return &batchTaken{time.Since(start).Seconds(), cpuSeconds() - cpuBefore}, errors.Join(errs...)
}

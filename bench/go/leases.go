package main

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type leasesResult struct {
	Client         string    `json:"client"`
	CPUMsPerSecond []float64 `json:"cpuMsPerSecond"`
	Lost           int64     `json:"lost"`
	MaxRSSMiB      float64   `json:"maxRssMiB"`
}

// keepLeases is bench/src/leases-client.ts for Go's clientv3, whose channels of answers must be read.
func keepLeases(endpoint string, leases int, ttl int64, warmup, seconds float64, windows int) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	var lost atomic.Int64
	var kept sync.WaitGroup
	kept.Add(leases)
	for range leases {
		lease, err := client.Grant(ctx, ttl)
		if err != nil {
			return err
		}
		answers, err := client.KeepAlive(ctx, lease.ID)
		if err != nil {
			return err
		}
		go func() {
			<-answers
			kept.Done()
			for range answers {
			}
			lost.Add(1)
		}()
	}
	kept.Wait()
	time.Sleep(asDuration(warmup))
	var used []float64
	for range windows {
		cpuBefore := cpuSeconds()
		start := time.Now()
		time.Sleep(asDuration(seconds))
		elapsed := time.Since(start).Seconds()
		used = append(used, (cpuSeconds()-cpuBefore)*1000/elapsed)
	}
	result := leasesResult{"clientv3", used, lost.Load(), maxRSSMiB()}
	return json.NewEncoder(os.Stdout).Encode(result)
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const listPrefix = "list/"

type listResult struct {
	Client     string  `json:"client"`
	Keys       int     `json:"keys"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
	IdleRSSMiB float64 `json:"idleRssMiB"`
	MaxRSSMiB  float64 `json:"maxRssMiB"`
}

// list is bench/src/list-client.ts for Go's clientv3.
func list(endpoint string, pageSize int) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	result := listResult{Client: "clientv3"}
	if result.IdleRSSMiB, err = rssMiB(); err != nil {
		return err
	}
	cpuBefore := cpuSeconds()
	start := time.Now()
	if result.Keys, err = listAll(context.Background(), client, pageSize); err != nil {
		return err
	}
	result.Seconds = time.Since(start).Seconds()
	result.CPUSeconds = cpuSeconds() - cpuBefore
	result.MaxRSSMiB = maxRSSMiB()
	return json.NewEncoder(os.Stdout).Encode(result)
}

// listAll counts the keys in pages by hand, at one revision: clientv3 has no iteration.
func listAll(ctx context.Context, client *clientv3.Client, pageSize int) (int, error) {
	keys := 0
	end := clientv3.GetPrefixRangeEnd(listPrefix)
	for key, revision := listPrefix, int64(0); ; {
		page, err := client.Get(ctx, key, clientv3.WithRange(end), clientv3.WithLimit(int64(pageSize)), clientv3.WithRev(revision))
		if err != nil {
			return 0, err
		}
		keys += len(page.Kvs)
		if !page.More {
			return keys, nil
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		key = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// rssMiB is the resident memory of this process now.
func rssMiB() (float64, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0, err
	}
	return float64(resident*os.Getpagesize()) / (1 << 20), nil
}

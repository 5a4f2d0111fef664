package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	replayPrefix = "bench/replay/"
	putsPerTxn   = 100
)

// The same in bench/src/watch.ts.
func manyKey(index int) string { return fmt.Sprintf("bench/many/%05d", index) }

type watchResult struct {
	Client       string  `json:"client"`
	Events       int     `json:"events"`
	Seconds      float64 `json:"seconds"`
	ReadySeconds float64 `json:"readySeconds"`
	CPUSeconds   float64 `json:"cpuSeconds"`
	MaxRSSMiB    float64 `json:"maxRssMiB"`
}

// measureWatch is bench/src/watch-client.ts for Go's clientv3.
func measureWatch(endpoint, op string, events int, startRevision int64) error {
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Status(context.Background(), endpoint); err != nil {
		return err
	}
	cpuBefore := cpuSeconds()
	start := time.Now()
	watch := replay
	if op == "watch-many" {
		watch = many
	}
	ready, err := watch(client, events, startRevision)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(watchResult{
		Client: "clientv3", Events: events, Seconds: time.Since(start).Seconds(), ReadySeconds: ready.Sub(start).Seconds(),
		CPUSeconds: cpuSeconds() - cpuBefore, MaxRSSMiB: maxRSSMiB(),
	})
}

func replay(client *clientv3.Client, events int, startRevision int64) (time.Time, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	responses := client.Watch(ctx, replayPrefix, clientv3.WithPrefix(), clientv3.WithRev(startRevision))
	ready := time.Now()
	for response := range responses {
		if err := response.Err(); err != nil {
			return ready, err
		}
		for _, event := range response.Events {
			if event.Type == clientv3.EventTypePut {
				events--
			}
		}
		if events <= 0 {
			return ready, nil
		}
	}
	return ready, errors.New("the watch has ended")
}

func many(client *clientv3.Client, events int, _ int64) (time.Time, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	channels := make([]clientv3.WatchChan, events)
	made := make(chan struct{})
	for i := range channels {
		// Watch returns once the watch is made. Waiting for one after another would be needlessly slow.
		go func() {
			channels[i] = client.Watch(ctx, manyKey(i))
			made <- struct{}{}
		}()
	}
	for range channels {
		<-made
	}
	ready := time.Now()
	seen := make(chan struct{})
	for _, channel := range channels {
		go func() {
			<-channel
			seen <- struct{}{}
		}()
	}
	for i := 0; i < events; i += putsPerTxn {
		var puts []clientv3.Op
		for k := i; k < min(i+putsPerTxn, events); k++ {
			puts = append(puts, clientv3.OpPut(manyKey(k), "value"))
		}
		if _, err := client.Txn(ctx).Then(puts...).Commit(); err != nil {
			return ready, err
		}
	}
	for range channels {
		<-seen
	}
	return ready, nil
}

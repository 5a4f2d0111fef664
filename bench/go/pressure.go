package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// slowConsumer is how long the slow consumer takes for an event, as in bench/src/programs/pressure-client.ts.
const slowConsumer = 20 * time.Millisecond

type loadResult struct {
	Client     string  `json:"client"`
	Ops        int     `json:"ops"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
	P50Micros  float64 `json:"p50Micros"`
	P99Micros  float64 `json:"p99Micros"`
	MaxRSSMiB  float64 `json:"maxRssMiB"`
	// For event loops, which Go doesn't have.
	MaxStallMs    float64 `json:"maxStallMs"`
	MaxOwnStallMs float64 `json:"maxOwnStallMs"`
}

// pressure is bench/src/programs/pressure-client.ts for Go's clientv3.
func pressure(w workload) error {
	client, err := connect(w.endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := client.Status(ctx, w.endpoint); err != nil {
		return err
	}
	result := loadResult{Client: "clientv3"}
	var latencies []time.Duration
	var sessions func() ([]time.Duration, error)
	if w.sessions > 0 {
		if sessions, err = prepareSessions(ctx, client, w); err != nil {
			return err
		}
	}
	cpuBefore, start := cpuSeconds(), time.Now()
	switch w.op {
	case "bursts":
		latencies, err = bursts(ctx, client, w.watches, w.bursts)
		result.Ops = w.watches * w.bursts
	case "slow":
		err = slow(ctx, client, w)
		result.Ops = w.watches * w.events
	case "locks", "elections", "sessions", "keepalives":
		latencies, err = sessions()
		result.Ops = len(latencies)
	default:
		time.Sleep(asDuration(w.seconds))
	}
	if err != nil {
		return err
	}
	result.Seconds, result.CPUSeconds, result.MaxRSSMiB = time.Since(start).Seconds(), cpuSeconds()-cpuBefore, maxRSSMiB()
	if w.op == "idle" {
		result.MaxRSSMiB = residentMiB()
	}
	if slices.Sort(latencies); len(latencies) > 0 {
		quantile := func(q float64) float64 {
			return float64(latencies[min(len(latencies)-1, int(q*float64(len(latencies))))].Nanoseconds()) / 1e3
		}
		result.P50Micros, result.P99Micros = quantile(0.5), quantile(0.99)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// bursts changes all keys at once, again and again, and returns how long after the start of a burst each watch saw its
// key.
func bursts(ctx context.Context, client *clientv3.Client, watches, times int) ([]time.Duration, error) {
	channels := make([]clientv3.WatchChan, watches)
	var made sync.WaitGroup
	for i := range channels {
		made.Add(1)
		go func() {
			defer made.Done()
			channels[i] = client.Watch(ctx, manyKey(i), clientv3.WithCreatedNotify())
			<-channels[i]
		}()
	}
	made.Wait()
	seen := make(chan time.Time, watches)
	for _, channel := range channels {
		go func() {
			for answer := range channel {
				for range answer.Events {
					seen <- time.Now()
				}
			}
		}()
	}
	latencies := make([]time.Duration, 0, watches*times)
	for range times {
		begun := time.Now()
		errs := make(chan error)
		txns := 0
		for i := 0; i < watches; i += putsPerTxn {
			var puts []clientv3.Op
			for k := i; k < min(i+putsPerTxn, watches); k++ {
				puts = append(puts, clientv3.OpPut(manyKey(k), "value"))
			}
			txns++
			go func() {
				_, err := client.Txn(ctx).Then(puts...).Commit()
				errs <- err
			}()
		}
		for range txns {
			if err := <-errs; err != nil {
				return nil, err
			}
		}
		for range watches {
			latencies = append(latencies, (<-seen).Sub(begun))
		}
	}
	return latencies, nil
}

// slow has fast consumers of a long history, with or without slow ones that never reach its end.
func slow(ctx context.Context, client *clientv3.Client, w workload) error {
	watch := func() clientv3.WatchChan {
		return client.Watch(ctx, replayPrefix, clientv3.WithPrefix(), clientv3.WithRev(w.startRevision))
	}
	for range w.slow {
		go func() {
			for answer := range watch() {
				for range answer.Events {
					time.Sleep(slowConsumer)
				}
			}
		}()
	}
	errs := make(chan error)
	for range w.watches {
		go func() {
			left := w.events
			for answer := range watch() {
				if left -= len(answer.Events); left <= 0 {
					errs <- nil
					return
				}
			}
			errs <- errors.New("the watch has ended")
		}()
	}
	for range w.watches {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

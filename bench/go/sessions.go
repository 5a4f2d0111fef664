package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// ttlSeconds is how long sessions and leases last.
const ttlSeconds = 60

// prepareSessions is bench/src/programs/session-loads.ts for Go's clientv3.
func prepareSessions(ctx context.Context, client *clientv3.Client, w workload) (func() ([]time.Duration, error), error) {
	create := func(int) error {
		_, err := concurrency.NewSession(client, concurrency.WithTTL(ttlSeconds))
		return err
	}
	var run func() ([]time.Duration, error)
	switch w.op {
	case "keepalives":
		ids := make([]clientv3.LeaseID, w.sessions)
		_, err := loops(w.concurrency, w.sessions, func(i int) error {
			lease, err := client.Grant(ctx, ttlSeconds)
			if err == nil {
				ids[i] = lease.ID
			}
			return err
		})
		return func() ([]time.Duration, error) {
			return loops(w.sessions, w.sessions, func(i int) error {
				answers, err := client.KeepAlive(ctx, ids[i])
				if err != nil {
					return err
				}
				<-answers
				go func() {
					for range answers {
					}
				}()
				return nil
			})
		}, err
	case "sessions":
		run = func() ([]time.Duration, error) { return loops(w.concurrency, w.sessions, create) }
	default:
		acquire, err := owners(ctx, client, w)
		if err != nil {
			return nil, err
		}
		run = func() ([]time.Duration, error) {
			var all []time.Duration
			var mutex sync.Mutex
			_, err := loops(w.sessions, w.sessions, func(i int) error {
				latencies, err := loops(1, w.times, func(int) error { return acquire[i]() })
				mutex.Lock()
				defer mutex.Unlock()
				all = append(all, latencies...)
				return err
			})
			return all, err
		}
	}
	_, err := run()
	return run, err
}

// owners returns, for each session, what acquires and releases a lock or a leadership.
func owners(ctx context.Context, client *clientv3.Client, w workload) ([]func() error, error) {
	acquire := make([]func() error, w.sessions)
	_, err := loops(w.sessions, w.sessions, func(i int) error {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(ttlSeconds))
		if err != nil {
			return err
		}
		name := fmt.Sprintf("bench-sessions/%s/%d/%d", w.op, os.Getpid(), i)
		if w.shared == 1 {
			name = fmt.Sprintf("bench-sessions/%s/%d/all", w.op, os.Getpid())
		}
		mutex, election := concurrency.NewMutex(session, name), concurrency.NewElection(session, name)
		acquire[i] = func() error {
			if w.op == "locks" {
				if err := mutex.Lock(ctx); err != nil {
					return err
				}
				return mutex.Unlock(ctx)
			}
			if err := election.Campaign(ctx, "value"); err != nil {
				return err
			}
			return election.Resign(ctx)
		}
		return nil
	})
	return acquire, err
}

// loops makes so many calls in so many loops, and returns the time of each.
func loops(concurrency, count int, call func(index int) error) ([]time.Duration, error) {
	var mutex sync.Mutex
	var failure error
	var workers sync.WaitGroup
	begun := 0
	latencies := make([]time.Duration, 0, count)
	for range concurrency {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				mutex.Lock()
				index := begun
				begun++
				mutex.Unlock()
				if index >= count {
					return
				}
				before := time.Now()
				err := call(index)
				taken := time.Since(before)
				mutex.Lock()
				latencies = append(latencies, taken)
				if failure == nil {
					failure = err
				}
				mutex.Unlock()
			}
		}()
	}
	workers.Wait()
	return latencies, failure
}

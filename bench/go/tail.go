package main

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tailCall is one call: see SingleCall in bench/src/tail/call-parts.ts.
type tailCall struct {
	StartAt float64 `json:"startAt"`
	Micros  float64 `json:"micros"`
}

type thread struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// tail makes one call after another, and prints when each was.
func tail(w workload) error {
	client, err := connect(w.endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	call, err := caller(strings.TrimPrefix(w.op, "tail-"), strings.Repeat("v", w.valueBytes))
	if err != nil {
		return err
	}
	zero, offset, err := zeroOfClock()
	if err != nil {
		return err
	}
	calls := []tailCall{}
	end := zero.Add(asDuration(w.warmup + w.seconds))
	for turn := 0; time.Now().Before(end); turn++ {
		start := time.Now()
		if err := call(client, keyName(turn%w.keys)); err != nil {
			return err
		}
		micros := float64(time.Since(start).Nanoseconds()) / 1e3
		if start.Sub(zero) >= asDuration(w.warmup) {
			calls = append(calls, tailCall{offset + float64(start.Sub(zero).Nanoseconds())/1e3, micros})
		}
	}
	threads, err := ownThreads()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"threads": threads, "calls": calls})
}

// zeroOfClock returns a time, and the same on the clock of the kernel's trace, in µs, for which time.Time has no way to
// ask. Of several readings it takes that with the least time between the two clocks.
func zeroOfClock() (time.Time, float64, error) {
	var zero time.Time
	var offset float64
	least := time.Hour
	for range 20 {
		var clock unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
			return zero, 0, err
		}
		if took := time.Since(before); took < least {
			least, zero, offset = took, before, float64(clock.Nano())/1e3
		}
	}
	return zero, offset, nil
}

func ownThreads() ([]thread, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	threads := []thread{}
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			return nil, err
		}
		threads = append(threads, thread{id, "go"})
	}
	return threads, nil
}

package main

import (
	"os"
	"strings"
	"testing"
)

// The history to plant violations in was recorded by `npm run nemesis -- --keep DIR`: NEMESIS_HISTORY=DIR.
func recorded(t *testing.T) *history {
	dir := os.Getenv("NEMESIS_HISTORY")
	if dir == "" {
		t.Skip("NEMESIS_HISTORY names no recorded history")
	}
	h, err := readHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func first(t *testing.T, h *history, fits func(*operation) bool) *operation {
	for i := len(h.operations) / 2; i < len(h.operations); i++ {
		if fits(&h.operations[i]) {
			return &h.operations[i]
		}
	}
	t.Fatal("the history has no such operation")
	return nil
}

func TestPlantedViolations(t *testing.T) {
	ok := func(kind string) func(*operation) bool {
		return func(o *operation) bool { return o.OK && o.Kind == kind }
	}
	middle := func(h *history) *watchStep {
		for i := len(h.watches) / 2; ; i++ {
			if !h.watches[i].seek && len(h.watches[i].Events) > 1 {
				return &h.watches[i]
			}
		}
	}
	for _, plant := range []struct {
		name, check string
		in          func(*testing.T, *history)
	}{
		{"a stale read", "linearizability", func(t *testing.T, h *history) {
			o := first(t, h, func(o *operation) bool { return o.Kind == "read" && o.OK && o.Found != "" })
			o.Found = "never written"
		}},
		{"a lost update", "linearizability", func(t *testing.T, h *history) { first(t, h, ok("inc")).Expect = "+v0" }},
		{"a revision that goes back", "real time", func(t *testing.T, h *history) { first(t, h, ok("read")).Revision = 2 }},
		{"a write that isn't there", "answers", func(t *testing.T, h *history) { first(t, h, ok("put")).Value = "lost" }},
		{"a write that was applied twice", "applied once", func(t *testing.T, h *history) {
			o := first(t, h, func(o *operation) bool { return o.OK && o.Kind == "put" && strings.HasPrefix(o.Key, "nem/r/") })
			e, _ := h.at(o.Key, o.Revision)
			h.store = append(h.store, e)
		}},
		{"a write that was said not to be sent", "not applied", func(t *testing.T, h *history) {
			o := first(t, h, ok("put"))
			o.OK, o.Error = false, &failure{Name: "UnavailableError", Code: 14}
		}},
		{"a call that outlives its bound", "bounds", func(t *testing.T, h *history) { first(t, h, ok("put")).End += 60_000 }},
		{"a gap of a watch", "watch", func(_ *testing.T, h *history) { s := middle(h); s.Events = s.Events[1:] }},
		{"an event that comes twice", "watch", func(_ *testing.T, h *history) {
			s := middle(h)
			s.Events = append(append([]watchEvent(nil), s.Events...), s.Events[0])
		}},
		{"events in another order", "watch", func(_ *testing.T, h *history) {
			s := middle(h)
			s.Events[0], s.Events[1] = s.Events[1], s.Events[0]
		}},
		{"two holders", "mutual exclusion", func(_ *testing.T, h *history) { h.holds[len(h.holds)/2].To += 60_000 }},
		{"a token that goes back", "mutual exclusion", func(_ *testing.T, h *history) { h.holds[len(h.holds)/2].Token = 1 }},
		{"a fence that was passed", "fencing", func(_ *testing.T, h *history) {
			for _, events := range h.byKey {
				if strings.HasPrefix(events[0].Key, "nem/guard/") {
					events[len(events)-1].Value = "1 late"
				}
			}
		}},
		{"a lock that comes back", "returned", func(_ *testing.T, h *history) {
			c := &h.claims[len(h.claims)/2]
			h.byKey[c.Name+"/late"] = []event{{
				Revision: h.store[len(h.store)-1].Revision, Key: c.Name + "/late", Version: 1, Lease: "none",
			}}
		}},
		{"a lease that ends early", "lease", func(_ *testing.T, h *history) {
			if len(h.leases) > 0 {
				h.leases[0].To += 60_000
			}
		}},
		{"one who enters alone", "barrier", func(_ *testing.T, h *history) {
			h.barriers = append(h.barriers, span{Name: "other", Worker: "w", From: 1, Entered: 2, To: 3})
		}},
		{"an unlock that fails without a reason", "release", func(t *testing.T, h *history) {
			h.faults = nil
			o := first(t, h, ok("unlock"))
			o.OK, o.Error = false, &failure{Name: "DeadlineExceededError", Code: 4, Sent: true}
		}},
	} {
		t.Run(plant.name, func(t *testing.T) {
			h := recorded(t)
			if before := judge(h); len(before) > 0 {
				t.Fatalf("the history has violations of its own: %v", before)
			}
			plant.in(t, h)
			for _, v := range judge(h) {
				if v.check == plant.check {
					return
				}
			}
			t.Errorf("not found by the check %q", plant.check)
		})
	}
}

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The history in which violations are planted, recorded by `npm run nemesis -- --keep DIR`: NEMESIS_HISTORY=DIR.
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

// copied returns a history whose parts can be changed without changing the original.
func copied(h *history) *history {
	c := *h
	c.operations, c.holds, c.claims = slices.Clone(h.operations), slices.Clone(h.holds), slices.Clone(h.claims)
	c.resumed = slices.Clone(h.resumed)
	c.leases, c.closed, c.barriers = slices.Clone(h.leases), slices.Clone(h.closed), slices.Clone(h.barriers)
	c.left, c.store, c.watches = slices.Clone(h.left), slices.Clone(h.store), slices.Clone(h.watches)
	for i := range c.watches {
		c.watches[i].Events = slices.Clone(h.watches[i].Events)
	}
	c.byKey = map[string][]event{}
	for key, events := range h.byKey {
		c.byKey[key] = slices.Clone(events)
	}
	return &c
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

func holdOf(t *testing.T, h *history, name, mode string) *span {
	for i := range h.holds {
		if s := &h.holds[i]; strings.HasPrefix(s.Name, name) && s.Mode == mode && excludedLater(h, s) {
			return s
		}
	}
	t.Fatalf("nobody held %s", name)
	return nil
}

func excludedLater(h *history, s *span) bool {
	for _, other := range h.holds {
		if other.Name == s.Name && other.excludes(*s) && other.From > s.To && other.To < s.To+50_000 {
			return true
		}
	}
	return false
}

func last(h *history) int64 { return h.store[len(h.store)-1].Revision }

// returns plants a key whose owner has long released what it was for.
func returns(name, key string) func(*testing.T, *history) {
	return func(_ *testing.T, h *history) {
		h.claims = append(h.claims, span{Name: name, Lease: "1", From: 1, To: 2, Clean: true})
		h.byKey[name+key] = []event{{Revision: last(h), Key: name + key, Version: 1, Lease: "1"}}
	}
}

func TestPlantedViolations(t *testing.T) {
	whole := recorded(t)
	if before := judge(whole); len(before) > 0 {
		t.Fatalf("the history has violations of its own: %v", before)
	}
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
		{"two holders of a lock", "mutual exclusion", func(t *testing.T, h *history) { holdOf(t, h, "nem/lock/", "").To += 60_000 }},
		{"two leaders", "mutual exclusion", func(t *testing.T, h *history) { holdOf(t, h, "nem/election/", "").To += 60_000 }},
		{"a writer among others", "mutual exclusion", func(t *testing.T, h *history) { holdOf(t, h, "nem/rw/", "write").To += 60_000 }},
		{"a reader beside a writer", "mutual exclusion", func(t *testing.T, h *history) { holdOf(t, h, "nem/rw/", "read").To += 60_000 }},
		{"a token that goes back", "mutual exclusion", func(t *testing.T, h *history) { holdOf(t, h, "nem/lock/", "").Token = last(h) }},
		{"a fence that was passed", "fencing", func(_ *testing.T, h *history) {
			for _, events := range h.byKey {
				if strings.HasPrefix(events[0].Key, "nem/guard/") {
					events[len(events)-1].Value = "1 late"
				}
			}
		}},
		{"a takeover that nobody reports", "resumed", func(_ *testing.T, h *history) {
			h.faults, h.late = nil, nil
			h.resumed = append(h.resumed, span{Name: "nem/lock/0", From: h.end - 3_000, To: h.end})
		}},
		{"a lock that comes back", "returned", returns("nem/lock/9", "/late")},
		{"a lock that comes back under a key that its session uses again", "returned", func(_ *testing.T, h *history) {
			key := "nem/lock/9/again"
			h.claims = append(h.claims, span{Name: "nem/lock/9", Lease: "1", Key: key, Token: 1, From: 1, To: h.end + 1, Clean: true})
			h.byKey[key] = []event{{Revision: last(h), Key: key, Version: 1, Lease: "1"}}
		}},
		{"a lock that comes back after it was taken twice", "returned", func(_ *testing.T, h *history) {
			for at := 1.0; at <= 3; at += 2 {
				h.claims = append(h.claims, span{Name: "nem/lock/9", Lease: "1", Key: "nem/lock/9/late", From: at, To: at + 1, Clean: true})
			}
			h.byKey["nem/lock/9/late"] = []event{{Revision: last(h), Key: "nem/lock/9/late", Version: 1, Lease: "1"}}
		}},
		{"a lock for writers that comes back", "returned", returns("nem/rw/9", "/write/late")},
		{"a leadership that comes back", "returned", returns("nem/election/9", "/1")},
		{"an entry into a barrier that comes back", "returned", returns("nem/barrier/c", "/waiters/late")},
		{"a lock that nobody put", "returned", func(_ *testing.T, h *history) {
			h.byKey["nem/lock/9/late"] = []event{{Revision: last(h), Key: "nem/lock/9/late", Version: 1, Lease: "none"}}
		}},
		{"a lock that stays", "returned", func(_ *testing.T, h *history) {
			h.faults = nil
			h.claims = append(h.claims, span{Name: "nem/lock/9", Lease: "1", From: 1, To: h.operations[0].Start})
			h.byKey["nem/lock/9/left"] = []event{{Revision: h.store[0].Revision, Key: "nem/lock/9/left", Version: 1, Lease: "1"}}
		}},
		{"a proclamation that is undone", "proclaimed", func(t *testing.T, h *history) {
			for key, events := range h.byKey {
				for i := 1; i < len(events); i++ {
					if strings.HasPrefix(key, "nem/election/") && events[i].Version > 1 && events[i].Value != events[i-1].Value {
						events[i].Value, events[i-1].Value = events[i-1].Value, events[i].Value
						return
					}
				}
			}
			t.Fatal("nobody proclaimed anything")
		}},
		{"one who enters alone", "barrier", func(_ *testing.T, h *history) {
			h.barriers = append(h.barriers, span{Name: "other", Worker: "w", From: 1, Entered: 2, To: 3})
		}},
		{"one who enters after the other has left", "barrier", func(_ *testing.T, h *history) {
			h.barriers = append(h.barriers, span{Name: "other", Worker: "v", From: 1, Entered: 2, To: 4},
				span{Name: "other", Worker: "w", From: 1, Entered: 2, To: 4},
				span{Name: "other", Worker: "w", From: 5, Entered: 7, To: 9})
		}},
		{"an unlock that fails without a reason", "release", func(t *testing.T, h *history) {
			h.faults, h.late = nil, nil
			o := first(t, h, ok("unlock"))
			o.OK, o.Error = false, &failure{Name: "DeadlineExceededError", Code: 4, Sent: true, MayBeApplied: true}
		}},
		{"a key of a session that was closed", "closed", func(_ *testing.T, h *history) {
			h.closed = append(h.closed, span{Lease: "1", From: 1})
			h.byKey["nem/session/1"] = []event{{Revision: last(h), Key: "nem/session/1", Version: 1, Lease: "1"}}
		}},
		{"a lease that ends early", "lease", func(t *testing.T, h *history) {
			if len(h.leases) == 0 {
				t.Fatal("nobody kept a lease alive")
			}
			h.leases[0].To += 60_000
		}},
		{"a lease that a session has left behind", "left behind", func(_ *testing.T, h *history) {
			h.operations = append(h.operations, operation{
				Kind: "short-session", Key: "1999999", Start: h.end - 1, End: h.end, Error: &failure{Sent: true, MayBeApplied: true},
			})
			h.left = append(h.left, leftLease{Lease: "1", TTL: 1_999_999, From: h.end + lateRevokeMs + 1})
		}},
		{"a grant that was said not to be sent", "left behind", func(_ *testing.T, h *history) {
			h.operations = append(h.operations, operation{Kind: "grant", Key: "1999999", Start: h.end, End: h.end, Error: &failure{}})
			h.left = append(h.left, leftLease{Lease: "1", TTL: 1_999_999})
		}},
		{"a revocation that was said to be refused", "left behind", func(t *testing.T, h *history) {
			o := first(t, h, func(o *operation) bool { return o.OK && o.Kind == "revoke" && !strings.HasPrefix(o.Key, "nem/") })
			o.OK, o.Error = false, &failure{Sent: true}
		}},
		{"a revocation that did nothing", "left behind", func(t *testing.T, h *history) {
			revoked := map[string]bool{}
			for _, o := range h.operations {
				revoked[o.Key] = revoked[o.Key] || (o.OK && o.Kind == "revoke")
			}
			o := first(t, h, func(o *operation) bool { return o.OK && o.Kind == "grant" && o.Found != "" && revoked[o.Key] })
			h.left = append(h.left, leftLease{Lease: o.Found})
		}},
		{"an item that two get", "queue", func(t *testing.T, h *history) { h.operations = append(h.operations, *first(t, h, ok("dequeue"))) }},
		{"an item that nobody gets", "queue", func(t *testing.T, h *history) {
			name := first(t, h, ok("dequeue")).Key
			kept := h.operations[:0]
			for _, o := range h.operations {
				if o.Kind != "dequeue" || o.Key != name {
					kept = append(kept, o)
				}
			}
			h.operations = kept
		}},
		{"an item that is passed over", "queue", func(_ *testing.T, h *history) {
			h.byKey["nem/queue/0/first"] = []event{{Revision: 1, Key: "nem/queue/0/first", Value: "v0", Version: 1}}
		}},
		{"an item that nobody put", "queue", func(t *testing.T, h *history) { first(t, h, ok("dequeue")).Found = "v0" }},
		{"a read that gives up", "retries", func(t *testing.T, h *history) {
			o := first(t, h, ok("read"))
			o.OK, o.End = false, o.Start+10
			o.Error = &failure{Name: "UnavailableError", Code: 14, Sent: true, MayBeApplied: true}
		}},
		{"a dropped proposal that isn't sent again", "retries", func(t *testing.T, h *history) {
			o := first(t, h, ok("put"))
			o.OK, o.End = false, o.Start+10
			o.Error = &failure{Name: "EtcdError", Code: 2, Details: "raft proposal dropped", Sent: true, MayBeApplied: true}
		}},
	} {
		t.Run(plant.name, func(t *testing.T) {
			h := copied(whole)
			plant.in(t, h)
			for _, check := range checks {
				if check.name == plant.check && len(check.violations(h)) > 0 {
					return
				}
			}
			t.Errorf("not found by the check %q", plant.check)
		})
	}
}

package main

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

type violation struct{ check, what string }

// slackMs is what a call may take beyond its bound, the process's own lateness aside.
const slackMs = 500

// graceMs is how long after a fault what was begun in the background may take.
const graceMs = 8_000

func judge(h *history) []violation {
	var found []violation
	for _, check := range []struct {
		name string
		run  func(*history, func(string, ...any))
	}{
		{"linearizability", linearizable},
		{"real time", realTime},
		{"answers", answers},
		{"applied once", appliedOnce},
		{"not applied", notApplied},
		{"bounds", withinBounds},
		{"watch", watched},
		{"mutual exclusion", exclusive},
		{"fencing", fenced},
		{"returned", returned},
		{"lease", leased},
		{"barrier", together},
		{"release", released},
	} {
		count := 0
		check.run(h, func(format string, args ...any) {
			if count++; count <= 10 {
				found = append(found, violation{check.name, fmt.Sprintf(format, args...)})
			}
		})
		if count > 10 {
			found = append(found, violation{check.name, fmt.Sprintf("and %d more", count-10)})
		}
	}
	return found
}

// writes are the operations whose values are in the store by their own name.
func (o *operation) writes() bool {
	return o.Kind == "put" || o.Kind == "cas" || o.Kind == "inc"
}

// linearizable checks each register and counter with porcupine. A write whose fate the client doesn't know may take
// effect at any later time; one whose value never was in the store had none.
func linearizable(h *history, report func(string, ...any)) {
	applied := map[string]bool{}
	for _, e := range h.store {
		applied[e.Value] = true
	}
	byKey := map[string][]porcupine.Operation{}
	workers := map[string]int{}
	for i := range h.operations {
		o := &h.operations[i]
		if !o.writes() && o.Kind != "read" {
			continue
		}
		if !o.OK && (o.Kind == "read" || !applied[o.Value]) {
			continue
		}
		end := int64(o.End * 1e3)
		if !o.OK {
			end = math.MaxInt64
		}
		if _, known := workers[o.Worker]; !known {
			workers[o.Worker] = len(workers)
		}
		byKey[o.Key] = append(byKey[o.Key], porcupine.Operation{
			ClientId: workers[o.Worker], Input: o, Output: o, Call: int64(o.Start * 1e3), Return: end,
		})
	}
	model := porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			o, now := input.(*operation), state.(string)
			switch o.Kind {
			case "read":
				return o.Found == now, now
			case "put":
				return true, o.Value
			case "cas":
				// One without an answer was applied, as the store says.
				if now == o.Expect {
					return !o.OK || o.Applied, o.Value
				}
				return o.OK && !o.Applied && o.Found == now, now
			default: // inc: it read Expect, and wrote Value; without an answer nobody knows what it read.
				return !o.OK || now == o.Expect, o.Value
			}
		},
	}
	for key, operations := range byKey {
		switch porcupine.CheckOperationsTimeout(model, operations, 60*time.Second) {
		case porcupine.Illegal:
			report("the %d operations on %s are not linearizable", len(operations), key)
		case porcupine.Unknown:
			report("the %d operations on %s could not be judged in 60 s", len(operations), key)
		}
	}
}

// realTime checks that whoever begins after another's end sees no older store.
func realTime(h *history, report func(string, ...any)) {
	var ends []operation
	for _, o := range h.operations {
		if o.OK && o.Revision > 0 {
			ends = append(ends, o)
		}
	}
	starts := append([]operation(nil), ends...)
	sort.Slice(ends, func(i, j int) bool { return ends[i].End < ends[j].End })
	newest, at := operation{}, 0
	for _, o := range starts {
		for at < len(ends) && ends[at].End < o.Start {
			if ends[at].Revision > newest.Revision {
				newest = ends[at]
			}
			at++
		}
		if o.Revision < newest.Revision {
			report("operation %d (%s %s) answered revision %d, though %d had answered %d before it began",
				o.ID, o.Kind, o.Key, o.Revision, newest.ID, newest.Revision)
		}
	}
}

// answers checks what was answered against the store at the answer's revision.
func answers(h *history, report func(string, ...any)) {
	for _, o := range h.operations {
		if !o.OK {
			continue
		}
		switch {
		case o.Kind == "put" || o.Kind == "inc" || (o.Kind == "cas" && o.Applied):
			if e, there := h.at(o.Key, o.Revision); !there || e.Revision != o.Revision || e.Value != o.Value {
				report("operation %d (%s %s) wrote %q at %d, and the store has %q of %d", o.ID, o.Kind, o.Key, o.Value,
					o.Revision, e.Value, e.Revision)
			}
		case o.Kind == "read" || o.Kind == "cas":
			if e, _ := h.at(o.Key, o.Revision); e.Value != o.Found || (o.Mod != 0 && e.Revision != o.Mod) {
				report("operation %d (%s %s) read %q of %d at %d, and the store had %q of %d", o.ID, o.Kind, o.Key, o.Found,
					o.Mod, o.Revision, e.Value, e.Revision)
			}
		}
	}
}

func appliedOnce(h *history, report func(string, ...any)) {
	times := map[string]int{}
	for _, e := range h.store {
		times[e.Value]++
	}
	for _, o := range h.operations {
		if o.writes() && times[o.Value] > 1 {
			report("operation %d (%s %s) was applied %d times", o.ID, o.Kind, o.Key, times[o.Value])
		}
	}
}

// notApplied checks that a write that is said not to have been sent, or to have been refused, is not in the store.
func notApplied(h *history, report func(string, ...any)) {
	applied := map[string]int64{}
	for _, e := range h.store {
		applied[e.Value] = e.Revision
	}
	for _, o := range h.operations {
		if o.writes() && o.Error != nil && o.Error.saysNotApplied() && applied[o.Value] != 0 {
			report("operation %d (%s %s) failed with %q, sent %t, and was applied at %d", o.ID, o.Kind, o.Key,
				o.Error.Message, o.Error.Sent, applied[o.Value])
		}
		if o.Error != nil && o.Error.Details == "raft proposal dropped" {
			report("operation %d (%s) ended with raft proposal dropped, which could be sent again", o.ID, o.Kind)
		}
	}
}

func (f *failure) saysNotApplied() bool {
	switch f.Name {
	case "NoLeaderError", "TooManyRequestsError", "StmConflictError", "InvalidArgumentError", "PermissionDeniedError",
		"UnauthenticatedError", "LeaseNotFoundError":
		return true
	}
	return !f.Sent
}

func withinBounds(h *history, report func(string, ...any)) {
	for _, o := range h.operations {
		if took := o.End - o.Start; o.Bound > 0 && took > o.Bound+slackMs+h.lateIn(o.Start, o.End) {
			report("operation %d (%s %s) took %.0f ms, and its bound was %.0f", o.ID, o.Kind, o.Key, took, o.Bound)
		}
	}
}

// watched checks each watcher's batches against the store: all events of the revisions since the last batch, in order.
func watched(h *history, report func(string, ...any)) {
	next := map[string]int64{}
	for _, step := range h.watches {
		if step.seek {
			next[step.Watch] = step.From
			continue
		}
		from := next[step.Watch]
		if step.Revision < from-1 {
			report("watch %s went back from %d to %d", step.Watch, from-1, step.Revision)
			continue
		}
		var want []watchEvent
		first := sort.Search(len(h.store), func(i int) bool { return h.store[i].Revision >= from })
		for _, e := range h.store[first:] {
			if e.Revision > step.Revision {
				break
			}
			if strings.HasPrefix(e.Key, step.Prefix) {
				want = append(want, watchEvent{e.Revision, e.Deleted, e.Key, e.Value})
			}
		}
		if fmt.Sprint(want) != fmt.Sprint(step.Events) {
			report("watch %s of %s got %d events for the revisions %d to %d, and there were %d: %.200v instead of %.200v",
				step.Watch, step.Prefix, len(step.Events), from, step.Revision, len(want), step.Events, want)
		}
		next[step.Watch] = step.Revision + 1
	}
}

// exclusive checks that two holders of one lock never overlap by more than their process was late.
func exclusive(h *history, report func(string, ...any)) {
	holds := append([]span(nil), h.holds...)
	sort.Slice(holds, func(i, j int) bool { return holds[i].From < holds[j].From })
	last := map[string]span{}
	for _, hold := range holds {
		before, known := last[hold.Name]
		if overlap := math.Min(before.To, hold.To) - hold.From; known && overlap > 1+h.lateIn(hold.From-1_000, hold.From+overlap) {
			report("%s was held by %s (token %d) and %s (token %d) for %.0f ms", hold.Name, before.Worker, before.Token,
				hold.Worker, hold.Token, overlap)
		}
		if known && hold.Token <= before.Token {
			report("%s gave token %d after %d", hold.Name, hold.Token, before.Token)
		}
		if !known || hold.To > before.To {
			last[hold.Name] = hold
		}
	}
}

// fenced checks that what holders write to the key that they guard comes in the order of their tokens.
func fenced(h *history, report func(string, ...any)) {
	for key, events := range h.byKey {
		if !strings.HasPrefix(key, "nem/guard/") {
			continue
		}
		newest := 0
		for _, e := range events {
			var token int
			if _, err := fmt.Sscan(e.Value, &token); err != nil || token < newest {
				report("%s got %q at %d after token %d", key, e.Value, e.Revision, newest)
			}
			newest = max(newest, token)
		}
	}
}

// returned checks that a key by which something is owned is there only while its session claims or owns it.
func returned(h *history, report func(string, ...any)) {
	claims := map[string][]span{}
	for _, c := range h.claims {
		claims[c.Name+" "+c.Lease] = append(claims[c.Name+" "+c.Lease], c)
	}
	for key, events := range h.byKey {
		name := ownedBy(key)
		if name == "" {
			continue
		}
		for i, e := range events {
			if e.Deleted || e.Version != 1 {
				continue
			}
			gone := h.end
			for _, later := range events[i+1:] {
				if later.Deleted {
					gone = h.bounds.notBefore(later.Revision)
					break
				}
			}
			made := [2]float64{h.bounds.notBefore(e.Revision), h.bounds.notAfter(e.Revision)}
			of := claims[name+" "+e.Lease]
			if len(of) == 0 {
				report("%s was put at %d by nobody", key, e.Revision)
				continue
			}
			alone := 0.0
			inside := false
			for _, c := range of {
				inside = inside || (c.From <= made[1] && c.To >= made[0]) || (!c.Clean && c.From <= made[0])
			}
			if !inside {
				report("%s came back at %d, after it was released", key, e.Revision)
				continue
			}
			for t := made[1]; t < gone; t += 100 {
				if !covered(of, t) && !h.troubled(t-graceMs, t) {
					alone += 100
				}
			}
			if alone > 3_000 {
				report("%s of %d was there for %.1f s while nobody claimed or held it", key, e.Revision, alone/1e3)
			}
		}
	}
}

// ownedBy is the lock or election that a key is for; none for a fence, which owns nothing.
func ownedBy(key string) string {
	for _, kind := range []string{"nem/lock/", "nem/election/"} {
		if rest, is := strings.CutPrefix(key, kind); is {
			if at := strings.Index(rest, "/"); at > 0 && !strings.HasSuffix(rest[:at], "~fence") && !strings.Contains(rest[at+1:], "/") {
				return kind + rest[:at]
			}
		}
	}
	return ""
}

func covered(spans []span, t float64) bool {
	for _, s := range spans {
		if t >= s.From-50 && t <= s.To+50 {
			return true
		}
	}
	return false
}

// troubled says whether a fault was there at any time between.
func (h *history) troubled(from, to float64) bool {
	for _, f := range h.faults {
		if f.From < to && f.To > from {
			return true
		}
	}
	return false
}

// leased checks that no lease ends that its holder, by its own clock, may still rely upon.
func leased(h *history, report func(string, ...any)) {
	for _, s := range h.leases {
		for _, e := range h.byKey[s.Key] {
			if !e.Deleted || h.bounds.notAfter(e.Revision) < s.From {
				continue
			}
			if ended := h.bounds.notAfter(e.Revision); ended+50+h.lateIn(ended-1_000, s.To) < s.To {
				report("%s went with lease %s at %d, %.0f ms before its holder stopped to rely on it", s.Key, s.Lease, e.Revision,
					s.To-ended)
			}
		}
	}
}

// together checks that nobody enters a barrier of two alone.
func together(h *history, report func(string, ...any)) {
	for _, a := range h.barriers {
		if a.Entered == 0 {
			continue
		}
		others := 0
		for _, b := range h.barriers {
			if b.Name == a.Name && b.Worker != a.Worker && b.From <= a.Entered && b.To >= a.Entered {
				others++
			}
		}
		if others == 0 {
			report("%s entered %s alone", a.Worker, a.Name)
		}
	}
}

// released checks that what is to end a claim doesn't fail while a majority can be reached, and that it did end it.
func released(h *history, report func(string, ...any)) {
	for _, o := range h.operations {
		if o.Kind != "unlock" && o.Kind != "resign" && o.Kind != "close" {
			continue
		}
		if !o.OK && o.Error != nil && o.Error.Name != "ClosedError" && !h.lacksMajority(o.Start-1_000, o.End) {
			report("operation %d (%s %s) failed with %q after %.0f ms, though a majority could be reached", o.ID, o.Kind, o.Key,
				o.Error.Message, o.End-o.Start)
		}
	}
	for _, s := range h.closed {
		for key, events := range h.byKey {
			for i, e := range events {
				if e.Lease != s.Lease || e.Deleted {
					continue
				}
				if i+1 < len(events) && h.bounds.notBefore(events[i+1].Revision) <= s.From {
					continue
				}
				report("%s of session %s was there after close()", key, s.Lease)
			}
		}
	}
}

func (h *history) lacksMajority(from, to float64) bool {
	for _, f := range h.faults {
		if !f.Majority && f.From < to && f.To+2_000 > from {
			return true
		}
	}
	return false
}

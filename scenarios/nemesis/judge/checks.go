package main

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

type violation struct{ check, what string }

// slackMs is how far a call may exceed its bound, apart from the process's own lateness.
const slackMs = 500

// graceMs is how long work that was begun in the background may take after a fault.
const graceMs = 8_000

// check looks for one kind of violation.
type check struct {
	name string
	run  func(*history, func(string, ...any))
}

var checks = []check{
	{"linearizability", linearizable},
	{"real time", realTime},
	{"answers", answers},
	{"applied once", appliedOnce},
	{"not applied", notApplied},
	{"bounds", withinBounds},
	{"retries", gaveUp},
	{"watch", watched},
	{"mutual exclusion", exclusive},
	{"fencing", fenced},
	{"resumed", notified},
	{"returned", returned},
	{"proclaimed", proclaimed},
	{"barrier", together},
	{"release", released},
	{"closed", closed},
	{"lease", leased},
	{"left behind", leftBehind},
	{"queue", queued},
}

func judge(h *history) []violation {
	var found []violation
	for _, c := range checks {
		found = append(found, c.violations(h)...)
	}
	return found
}

// violations holds the first ten violations that the check finds, and the number of further ones.
func (c check) violations(h *history) []violation {
	var found []violation
	count := 0
	c.run(h, func(format string, args ...any) {
		if count++; count <= 10 {
			found = append(found, violation{c.name, fmt.Sprintf(format, args...)})
		}
	})
	if count > 10 {
		found = append(found, violation{c.name, fmt.Sprintf("and %d more", count-10)})
	}
	return found
}

// writes returns the operations whose values are in the store under their own key.
func (o *operation) writes() bool {
	switch o.Kind {
	case "put", "cas", "inc", "enqueue", "proclaim":
		return true
	}
	return false
}

// linearizable checks each register and counter with porcupine. A write whose result the client doesn't know may take
// effect at any later time. If its value was never in the store, it had no effect.
func linearizable(h *history, report func(string, ...any)) {
	applied := map[string]bool{}
	for _, e := range h.store {
		applied[e.Value] = true
	}
	byKey := map[string][]porcupine.Operation{}
	workers := map[string]int{}
	for i := range h.operations {
		o := &h.operations[i]
		if o.Kind != "put" && o.Kind != "cas" && o.Kind != "inc" && o.Kind != "read" {
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
				// A call without an answer was applied, according to the store.
				if now == o.Expect {
					return !o.OK || o.Applied, o.Value
				}
				return o.OK && !o.Applied && o.Found == now, now
			default: // inc: it read Expect, and wrote Value; without an answer it is unknown what it read.
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

// realTime checks that a call that begins after another has ended sees no older store.
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

// answers checks the answers against the store at their revisions.
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
		// A repeated proclamation has the same value.
		if o.writes() && o.Kind != "proclaim" && times[o.Value] > 1 {
			report("operation %d (%s %s) was applied %d times", o.ID, o.Kind, o.Key, times[o.Value])
		}
	}
}

// notApplied checks that a write that was reported as not sent or as refused is not in the store.
func notApplied(h *history, report func(string, ...any)) {
	applied := map[string]int64{}
	for _, e := range h.store {
		applied[e.Value] = e.Revision
	}
	for _, o := range h.operations {
		if o.Error == nil {
			continue
		}
		if o.writes() && o.Error.saysNotApplied() && applied[o.Value] != 0 {
			report("operation %d (%s %s) failed with %q, sent %t, and was applied at %d", o.ID, o.Kind, o.Key,
				o.Error.Message, o.Error.Sent, applied[o.Value])
		}
		if !o.Error.Sent && o.Error.MayBeApplied {
			report("operation %d (%s) was not sent, and may be applied", o.ID, o.Kind)
		}
	}
}

func (f *failure) saysNotApplied() bool { return !f.Sent || !f.MayBeApplied }

// gaveUp checks that calls that could be sent again were, until their time was over.
func gaveUp(h *history, report func(string, ...any)) {
	for _, o := range h.operations {
		if o.Error == nil {
			continue
		}
		if o.Error.Details == "raft proposal dropped" && o.End-o.Start < o.Bound/2 {
			report("operation %d (%s) ended with %q after %.0f ms of %.0f, which could be sent again", o.ID, o.Kind,
				o.Error.Message, o.End-o.Start, o.Bound)
		}
		if o.Kind == "read" && (o.Error.Name == "UnavailableError" || o.Error.Name == "NoLeaderError") && o.End-o.Start < o.Bound/2 {
			report("operation %d (%s %s) gave up with %q after %.0f ms of %.0f", o.ID, o.Kind, o.Key, o.Error.Message,
				o.End-o.Start, o.Bound)
		}
	}
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
		if !slices.Equal(want, step.Events) {
			report("watch %s of %s got %d events for the revisions %d to %d, and there were %d; the first that differs is %s",
				step.Watch, step.Prefix, len(step.Events), from, step.Revision, len(want), difference(step.Events, want))
		}
		next[step.Watch] = step.Revision + 1
	}
}

// difference describes the first event that is in only one of the two.
func difference(got, want []watchEvent) string {
	for i := 0; ; i++ {
		switch {
		case i == len(want):
			return fmt.Sprintf("%q of %d, which nobody wanted", got[i].Key, got[i].Revision)
		case i == len(got):
			return fmt.Sprintf("%q of %d, which is missing", want[i].Key, want[i].Revision)
		case got[i] != want[i]:
			return fmt.Sprintf("%q of %d instead of %q of %d", got[i].Key, got[i].Revision, want[i].Key, want[i].Revision)
		}
	}
}

package main

import (
	"sort"
	"strings"
)

// item is an item of a queue, from its put to its delete.
type item struct {
	key, value       string
	created, deleted int64
}

// queued checks that each item of a queue is taken once, in order, and that none is lost, unless its taker never learnt
// whether the call succeeded.
func queued(h *history, report func(string, ...any)) {
	taken := map[string]*operation{}
	unknown := map[string][]float64{}
	for i := range h.operations {
		o := &h.operations[i]
		switch {
		case o.Kind != "dequeue":
		case o.OK:
			if before := taken[o.Found]; before != nil {
				report("%q of %s was given to %s (operation %d) and %s (operation %d)", o.Found, o.Key, before.Worker, before.ID,
					o.Worker, o.ID)
			}
			taken[o.Found] = o
		case o.Error.MayBeApplied && !strings.Contains(o.Error.Message, "not within"):
			// Without a call that waited without success: it has taken nothing.
			unknown[o.Key] = append(unknown[o.Key], o.Start)
		}
	}
	for name, items := range itemsOf(h) {
		var lost []item
		known := map[string]bool{}
		for _, it := range items {
			known[it.value] = true
			by := taken[it.value]
			if it.deleted == 0 {
				if by != nil {
					report("%q of %s was given to %s, and is there still", it.value, name, by.Worker)
				}
				continue
			}
			if by == nil {
				lost = append(lost, it)
			}
			for _, other := range items {
				if h.comesBefore(other, it, by) {
					report("%q of %s was taken at %d before %q, which came first", it.value, name, it.deleted, other.value)
				}
			}
		}
		// Each call whose result is unknown may have taken one, from its start on.
		sort.Slice(lost, func(i, j int) bool { return lost[i].deleted < lost[j].deleted })
		starts := unknown[name]
		sort.Float64s(starts)
		for i, it := range lost {
			by := h.bounds.notAfter(it.deleted)
			if calls := sort.Search(len(starts), func(i int) bool { return starts[i] > by }); calls < i+1 {
				report("%q of %s was taken at %d, and given to nobody", it.value, name, it.deleted)
			}
		}
		for value, o := range taken {
			if o.Key == name && !known[value] {
				report("operation %d took %q from %s, which never was there", o.ID, value, name)
			}
		}
	}
}

// comesBefore reports whether the taker of one item should have taken the other, which was there.
func (h *history) comesBefore(other, taken item, by *operation) bool {
	if other.created >= taken.deleted || (other.deleted != 0 && other.deleted <= taken.deleted) {
		return false
	}
	if strings.HasPrefix(taken.key, "nem/queue/") {
		return other.created < taken.created
	}
	// By priority, among the items that were there when they looked.
	return other.key < taken.key && by != nil && h.bounds.notAfter(other.created) < by.Start
}

func itemsOf(h *history) map[string][]item {
	queues := map[string][]item{}
	for key, events := range h.byKey {
		parts := strings.Split(key, "/")
		if parts[0] != "nem" || len(parts) < 4 || (parts[1] != "queue" && parts[1] != "priority") {
			continue
		}
		name := strings.Join(parts[:3], "/")
		for i, e := range events {
			if e.Deleted {
				continue
			}
			it := item{key: key, value: e.Value, created: e.Revision}
			if i+1 < len(events) {
				it.deleted = events[i+1].Revision
			}
			queues[name] = append(queues[name], it)
		}
	}
	return queues
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/namespace"
)

// rows has the left side of each row of "Coming from Go" in docs/guide/coming-from.md that does something. Each answers with
// what it found, which packages/etcd/test/clientv3.test.ts compares with what the right side finds. Before each the test has
// put row/a, row/b and row/c, in this order, with the values 1, 2 and 3.
var rows = map[string]func(context.Context, *peer) (string, error){
	"cancel": func(ctx context.Context, p *peer) (string, error) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := p.client.Get(ctx, "row/a")
		return fmt.Sprint(errors.Is(err, context.Canceled)), nil
	},
	"deadline": func(ctx context.Context, p *peer) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
		defer cancel()
		_, err := p.client.Get(ctx, "row/a")
		return fmt.Sprint(errors.Is(err, context.DeadlineExceeded)), nil
	},
	"ranges": func(ctx context.Context, p *peer) (string, error) {
		return counts(ctx, p.client,
			[]clientv3.OpOption{clientv3.WithPrefix()},
			[]clientv3.OpOption{clientv3.WithRange("row/b")},
			[]clientv3.OpOption{clientv3.WithFromKey()})
	},
	"options": func(ctx context.Context, p *peer) (string, error) {
		response, err := p.client.Get(ctx, "row/", clientv3.WithPrefix(), clientv3.WithLimit(2),
			clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
		if err != nil {
			return "", err
		}
		return keys(response), nil
	},
	"txn": func(ctx context.Context, p *peer) (string, error) {
		response, err := p.client.Txn(ctx).
			If(clientv3.Compare(clientv3.Value("row/a"), "=", "1")).
			Then(clientv3.OpGet("row/b")).
			Else(clientv3.OpGet("row/c")).
			Commit()
		if err != nil {
			return "", err
		}
		value := response.Responses[0].GetResponseRange().Kvs[0].Value
		return fmt.Sprint(response.Succeeded, " ", string(value)), nil
	},
	"watch": func(ctx context.Context, p *peer) (string, error) {
		first, err := p.client.Get(ctx, "row/a")
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var seen []string
		from := clientv3.WithRev(first.Kvs[0].ModRevision)
		for response := range p.client.Watch(ctx, "row/", clientv3.WithPrefix(), from) {
			for _, event := range response.Events {
				seen = append(seen, string(event.Kv.Key))
			}
			if len(seen) >= 3 {
				break
			}
		}
		return strings.Join(seen, " "), nil
	},
	"watch-error": func(ctx context.Context, p *peer) (string, error) {
		for response := range p.client.Watch(ctx, "row/a", clientv3.WithRev(1)) {
			return fmt.Sprint(errors.Is(response.Err(), rpctypes.ErrCompacted), " ", response.CompactRevision), nil
		}
		return "", errors.New("it has ended")
	},
	"keepalive": func(ctx context.Context, p *peer) (string, error) {
		lease, err := p.client.Grant(ctx, 60)
		if err != nil {
			return "", err
		}
		renewals, err := p.client.KeepAlive(ctx, lease.ID)
		if err != nil {
			return "", err
		}
		ttl := (<-renewals).TTL
		if _, err := p.client.Revoke(ctx, lease.ID); err != nil {
			return "", err
		}
		// It learns of it when it renews the lease next, within a third of the TTL.
		return fmt.Sprint(ttl), nil
	},
	"revision": func(ctx context.Context, p *peer) (string, error) {
		response, err := p.client.Get(ctx, "row/a")
		if err != nil {
			return "", err
		}
		return fmt.Sprint(response.Header.Revision), nil
	},
	"compacted": func(ctx context.Context, p *peer) (string, error) {
		_, err := p.client.Get(ctx, "row/a", clientv3.WithRev(1))
		return fmt.Sprint(errors.Is(err, rpctypes.ErrCompacted)), nil
	},
	"mutex": func(ctx context.Context, p *peer) (string, error) {
		mutex := concurrency.NewMutex(p.session, "row-mutex")
		if err := mutex.Lock(ctx); err != nil {
			return "", err
		}
		defer mutex.Unlock(ctx)
		response, err := p.client.Get(ctx, mutex.Key())
		if err != nil {
			return "", err
		}
		below := strings.HasPrefix(mutex.Key(), "row-mutex/")
		return fmt.Sprint(below, " ", mutex.Header().Revision == response.Kvs[0].CreateRevision), nil
	},
	"reentrant": func(ctx context.Context, p *peer) (string, error) {
		first := concurrency.NewMutex(p.session, "row-reentrant")
		if err := first.Lock(ctx); err != nil {
			return "", err
		}
		second := concurrency.NewMutex(p.session, "row-reentrant")
		if err := second.Lock(ctx); err != nil {
			return "", err
		}
		if err := second.Unlock(ctx); err != nil {
			return "", err
		}
		response, err := p.client.Get(ctx, first.Key())
		if err != nil {
			return "", err
		}
		// Both held it, and the one key of both is gone.
		return fmt.Sprint(response.Count), nil
	},
	"namespace": func(ctx context.Context, p *peer) (string, error) {
		response, err := namespace.NewKV(p.client.KV, "row/").Get(ctx, "a")
		if err != nil {
			return "", err
		}
		return keys(response), nil
	},
}

func keys(response *clientv3.GetResponse) string {
	var found []string
	for _, kv := range response.Kvs {
		found = append(found, string(kv.Key))
	}
	return strings.Join(found, " ")
}

// counts has how many keys each of these finds, from row/ on.
func counts(ctx context.Context, client *clientv3.Client, each ...[]clientv3.OpOption) (string, error) {
	var found []string
	for _, options := range each {
		response, err := client.Get(ctx, "row/", append(options, clientv3.WithCountOnly())...)
		if err != nil {
			return "", err
		}
		found = append(found, fmt.Sprint(response.Count))
	}
	return strings.Join(found, " "), nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// eventsField is the number of the field events in WatchResponse.
const eventsField = 11

// rawWatch reads the stream of a watch that catches up, counts its events, and decodes nothing. So its time is etcd's own.
func rawWatch(ctx context.Context, client *clientv3.Client, prefix string, startRevision, events int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stream, err := client.ActiveConnection().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/etcdserverpb.Watch/Watch", grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		return err
	}
	request, err := (&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)), StartRevision: startRevision,
	}}}).Marshal()
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	for events > 0 {
		var count int64
		if err := stream.RecvMsg(&count); err != nil {
			return err
		}
		events -= count
	}
	return nil
}

// rawCodec sends bytes as they are, and reads only how many events there are.
type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(message any) ([]byte, error) {
	bytes, ok := message.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not an encoded message", message)
	}
	return bytes, nil
}

func (rawCodec) Unmarshal(data []byte, into any) error {
	count, ok := into.(*int64)
	if !ok {
		return fmt.Errorf("%T is not a count", into)
	}
	for len(data) > 0 {
		field, _, length := protowire.ConsumeField(data)
		if length < 0 {
			return errors.New("a response is malformed")
		}
		if field == eventsField {
			*count++
		}
		data = data[length:]
	}
	return nil
}

package coord

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// forwardKV serves what a store needs of etcd's keys by asking another server.
type forwardKV struct {
	pb.UnimplementedKVServer
	to pb.KVClient
}

func (f forwardKV) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return f.to.Range(ctx, r)
}

func (f forwardKV) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	return f.to.Put(ctx, r)
}

func (f forwardKV) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	return f.to.DeleteRange(ctx, r)
}

func (f forwardKV) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	return f.to.Txn(ctx, r)
}

func (f forwardKV) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	return f.to.Compact(ctx, r)
}

// forwardWatch serves etcd's watches in the same way.
type forwardWatch struct {
	pb.UnimplementedWatchServer
	to pb.WatchClient
}

// Watch carries the messages of one stream both ways. A stream that breaks
// behind it breaks before it, with the same status: the watcher sets it up again.
func (f forwardWatch) Watch(watcher pb.Watch_WatchServer) error {
	ctx, cancel := context.WithCancel(watcher.Context())
	defer cancel()
	to, err := f.to.Watch(ctx)
	if err != nil {
		return err
	}
	go func() {
		for {
			r, err := watcher.Recv()
			if errors.Is(err, io.EOF) {
				_ = to.CloseSend()
				return
			}
			if err != nil {
				cancel()
				return
			}
			if to.Send(r) != nil {
				return // Recv has the reason
			}
		}
	}()
	for {
		r, err := to.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unlessCanceled(ctx, err)
		}
		if err := watcher.Send(r); err != nil {
			return err
		}
	}
}

// Register serves the store on a gRPC server, which must have been made with
// ServerOptions. The server's interceptors and credentials decide who may come
// in: whoever may can read and write everything. Stop the server before the
// store is closed.
func (e *Embedded) Register(server grpc.ServiceRegistrar) {
	pb.RegisterKVServer(server, forwardKV{to: pb.NewKVClient(e.engine)})
	pb.RegisterWatchServer(server, forwardWatch{to: pb.NewWatchClient(e.engine)})
}

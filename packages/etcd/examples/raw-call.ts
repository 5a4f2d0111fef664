import { connect, type RpcMethod } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

// Of gRPC's health service: in `.proto`, HealthCheckResponse { ServingStatus status = 1; }, SERVING = 1.
const check: RpcMethod<void, boolean> = {
  path: '/grpc.health.v1.Health/Check',
  encode: () => new Uint8Array(),
  decode: ([tag, status]) => tag === 8 && status === 1,
  idempotent: true,
};
console.log(await etcd.unary(check, undefined, { timeoutMs: 1_000 }));

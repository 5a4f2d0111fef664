import * as grpc from '@grpc/grpc-js';

const identity = (bytes: Buffer): Buffer => bytes;

/** A streaming method of {@link ScriptedServer}. */
export type StreamScript = (call: grpc.ServerDuplexStream<Buffer, Buffer>) => void;
/** A unary method of {@link ScriptedServer}. */
export type UnaryScript = (
  call: grpc.ServerUnaryCall<Buffer, Buffer>,
  answer: grpc.sendUnaryData<Buffer>,
) => void;

/**
 * A gRPC server of raw messages whose methods do what a test says. It is for things that a real etcd can't be made to
 * do.
 */
export interface ScriptedServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly port: number;
}

/**
 * Starts the server on a free loopback port. Method names stand for `/test.Script/<name>`, unless they are full names.
 */
export async function startScriptedServer(
  methods: { unary?: Record<string, UnaryScript>; stream?: Record<string, StreamScript> },
  credentials = grpc.ServerCredentials.createInsecure(),
): Promise<ScriptedServer> {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  });
  const definition: Record<string, grpc.MethodDefinition<Buffer, Buffer>> = {};
  const handlers: Record<string, grpc.UntypedHandleCall> = {};
  const add = (name: string, handler: grpc.UntypedHandleCall, streaming: boolean): void => {
    if (name in handlers) throw new Error(`two scripts are named ${name}`);
    definition[name] = {
      path: name.startsWith('/') ? name : `/test.Script/${name}`,
      requestStream: streaming,
      responseStream: streaming,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    };
    handlers[name] = handler;
  };
  for (const [name, handler] of Object.entries(methods.unary ?? {})) add(name, handler, false);
  for (const [name, handler] of Object.entries(methods.stream ?? {})) add(name, handler, true);
  server.addService(definition, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
  const scheme = credentials._isSecure() ? 'https' : 'http';
  return {
    endpoint: `${scheme}://127.0.0.1:${port}`,
    port,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

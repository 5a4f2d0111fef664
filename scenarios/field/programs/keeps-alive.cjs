// usage: node keeps-alive.cjs PACKAGE: the package is used, its work ends, and nothing of the program's own is left to wait for.
const { createRequire } = require('node:module');
const { createServer } = require('node:net');

const name = process.argv[2];
const load = createRequire(`${process.cwd()}/`);

/** Serves ANSWER to whatever is sent, and keeps nobody waiting for itself. */
function serve(answer, use) {
  const server = createServer((socket) => {
    socket.unref();
    socket.on('error', () => {});
    socket.on('data', () => answer && socket.write(answer));
  });
  server.listen(0, '127.0.0.1', () => use(server.address().port)).unref();
}

const uses = {
  'ioredis-reconnecting'() {
    const Redis = load('ioredis');
    const redis = new Redis(1, '127.0.0.1', {});
    redis.on('error', () => {});
    setTimeout(() => redis.disconnect(), 1000);
  },
  ioredis() {
    const Redis = load('ioredis');
    serve('+OK\r\n', (port) => new Redis({ port, enableReadyCheck: false }).set('foo', 'bar'));
  },
  pidusage() {
    load('pidusage')(process.pid, () => console.log('measured'));
  },
  'node-cache'() {
    const Cache = load('node-cache');
    new Cache({ stdTTL: 100, checkperiod: 120 }).set('a', 1);
  },
  'proper-lockfile'() {
    load('proper-lockfile').lock('package.json', {}, () => console.log('locked'));
  },
  mqtt() {
    const mqtt = load('mqtt');
    serve('', (port) => {
      const client = mqtt.connect(`mqtt://127.0.0.1:${port}`);
      setTimeout(() => client.end(), 0);
    });
  },
  'amqp-connection-manager'() {
    load('amqp-connection-manager').connect(['amqp://127.0.0.1:1']).close();
  },
};
uses[name]();

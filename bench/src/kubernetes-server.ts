import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { pod } from './kubernetes-pod.ts';

/**
 * A program of its own, in place of an API server, so that its time and memory are nobody else's: pods of some 3 KB, alone, in a list
 * of 5,000, and in watches. Its arguments are the files of its certificate and key; it prints its port.
 *
 *     /api/v1/namespaces/shop/pods/p-1         one
 *     /api/v1/namespaces/shop/pods             all
 *     …/pods?watch=true&resourceVersion=N      N events, as fast as they are taken, and the end; of 0 one, and no end
 */
const PODS = 5_000;
const [certificate = '', key = ''] = process.argv.slice(2);

const one = Buffer.from(JSON.stringify(pod(1)));
const items = Array.from({ length: PODS }, (_, at) => JSON.stringify(pod(at))).join(',');
const all = Buffer.from(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[${items}]}`);
const event = Buffer.from(`{"type":"MODIFIED","object":${one.toString()}}\n`);

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'https://server');
  const headers = { 'content-type': 'application/json' };
  if (searchParams.get('watch') !== 'true') {
    const body = pathname.endsWith('/pods') ? all : one;
    return void response.writeHead(200, { ...headers, 'content-length': body.length }).end(body);
  }
  let left = Number(searchParams.get('resourceVersion'));
  response.on('error', () => undefined).writeHead(200, headers);
  if (left === 0) return void response.write(event);
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      left--;
      if (!response.write(event)) return void response.once('drain', more);
    }
    response.end();
  };
  return more();
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));

import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pod } from './kubernetes-pod.ts';
import { micros } from './proc.ts';

/**
 * A program of its own, in place of an API server, so that its time and memory are nobody else's: pods of some 3 KB, alone, in a list
 * of 5,000, and in watches. Its arguments are the files of its certificate and key, and where it listens; it prints its port.
 *
 *     /api/v1/namespaces/shop/pods/p-1         one
 *     /api/v1/namespaces/shop/pods             all
 *     …/pods?watch=true&resourceVersion=N      N events, as fast as they are taken, and the end; of 0 one, and no end
 *     …&timeoutSeconds=S                       N events a second for so long, whose versions are when they were sent, by {@link micros}
 */
const PODS = 5_000;
const [certificate = '', key = '', host = ''] = process.argv.slice(2);

const one = Buffer.from(JSON.stringify(pod(1)));
const items = Array.from({ length: PODS }, (_, at) => JSON.stringify(pod(at))).join(',');
const all = Buffer.from(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[${items}]}`);
const eventOf = (object: object): Buffer => Buffer.from(`{"type":"MODIFIED","object":${JSON.stringify(object)}}\n`);
const event = eventOf(pod(1));
const { metadata, ...rest } = pod(1);

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'https://server');
  const headers = { 'content-type': 'application/json' };
  if (searchParams.get('watch') !== 'true') {
    const body = pathname.endsWith('/pods') ? all : one;
    return void response.writeHead(200, { ...headers, 'content-length': body.length }).end(body);
  }
  let left = Number(searchParams.get('resourceVersion'));
  response.on('error', () => undefined).writeHead(200, headers);
  const seconds = Number(searchParams.get('timeoutSeconds'));
  if (seconds > 0) return paced(response, left, seconds);
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
function paced(response: ServerResponse, perSecond: number, seconds: number): void {
  const began = micros();
  let sent = 0;
  const timer = setInterval(() => {
    const now = micros();
    const due = Math.min(seconds, (now - began) / 1e6) * perSecond;
    for (; sent < due; sent++) response.write(eventOf({ ...rest, metadata: { ...metadata, resourceVersion: String(now) } }));
    if (sent < seconds * perSecond && !response.destroyed) return;
    clearInterval(timer);
    response.end();
  }, 1);
}

server.listen(0, host, () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));

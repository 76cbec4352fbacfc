import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { systemClock } from '../../platform.ts';
import type { Channel } from '../wire/channel.ts';
import { ConnectionPair, Sink } from '../wire/connection.test-support.ts';
import { LookupChannel } from './lookup-channel.ts';
import { asWritten } from './path-lookup.ts';

/** Asks where a path leads, with a server that the test plays from the offer of the channel on. */
async function asked(path: string, play: (pair: ConnectionPair, host: () => Channel, sink: Sink) => void): Promise<unknown> {
  const pair = new ConnectionPair();
  pair.pump();
  const lookup = new LookupChannel({
    open: (...args) => pair.client.open(...args),
    clock: systemClock,
    hostIdent: () => 'SSH-2.0-OpenSSH_10.0',
    withoutSftp: asWritten,
  });
  const place = lookup.resolve(path);
  pair.pump();
  const sink = new Sink();
  const accept = (): Channel => {
    sink.channel = pair.atServer.offers[0]?.accept(sink) as Channel;
    pair.pump();
    return sink.channel;
  };
  play(pair, accept, sink);
  pair.pump();
  await turn();
  pair.pump();
  const found = await place;
  expect(pair.atClient.ends).toEqual([]);
  return found;
}

it.each([
  ['/srv/x/', { path: '/srv/x', canBe: true, written: '/srv/x', detours: [] }],
  ['x', undefined],
  ['/srv/../x', undefined],
])('a server that has no SFTP is not asked: %s is what it reads, or not known', async (path, expected) => {
  expect(
    await asked(path, (_, host, sink) => {
      host();
      sink.requests[0]?.reply?.(false);
    }),
  ).toEqual(expected);
});

it.each<[string, Parameters<typeof asked>[1]]>([
  ['no further channel', (pair) => pair.atServer.offers[0]?.refuse({ code: 4, text: 'as many as may be' })],
  ['a channel that closes', (_, host) => host().close()],
  [
    'a program that ends',
    (pair, host, sink) => {
      const channel = host();
      sink.requests[0]?.reply?.(true);
      pair.pump();
      channel.close();
    },
  ],
  [
    'something else than SFTP',
    (pair, host, sink) => {
      const channel = host();
      sink.requests[0]?.reply?.(true);
      pair.pump();
      channel.write(Buffer.from('Welcome to this server! '));
    },
  ],
  ['words before anything runs', (_, host) => host().write(Buffer.from('x'))],
])('a server that gives %s says of no path where it leads', async (_, play) => {
  expect(await asked('/srv/x', play)).toBeUndefined();
});

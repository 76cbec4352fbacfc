/**
 * The least that a relay of SSH can be with our transport: each message is opened once and sealed once. Nobody is judged, nothing is
 * looked at, digested or recorded. A program of its own; it says its port when it is ready.
 */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import {
  connectSsh,
  parsePrivateKey,
  signerOf,
  type SshChannelHandler,
  type SshConnection,
  type SshOffer,
  SshReads,
  UPSTREAM_LEGACY as algorithms,
} from '@chaperone/sidecar';

/** Of the floor's program, as its one argument in JSON. */
export interface FloorTarget {
  readonly host: string;
  readonly port: number;
  /** As known_hosts has it. */
  readonly hostKey: string;
  readonly user: string;
  readonly privateKey: string;
}

const target = JSON.parse(process.argv[2] ?? '{}') as FloorTarget;
const ours = signerOf(generateKeyPairSync('ed25519').privateKey);
const [signer, theirs] = [parsePrivateKey(target.privateKey), Buffer.from(target.hostKey.split(' ')[1] ?? '', 'base64')];
const room = { take: () => true, free: () => {} };
const REFUSED = { code: 1, text: 'not forwarded' };

async function serve(socket: Socket): Promise<void> {
  const reads = new SshReads();
  const { host, port, user } = target;
  const upstreamSocket = dial({ host, port, onread: reads.onread });
  await once(upstreamSocket, 'connect');
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const upstream = connectSsh(
    upstreamSocket,
    {
      role: 'client',
      room,
      algorithms,
      hostKey: { kind: 'pinned', keys: [theirs] },
      user,
      credentials: [{ method: 'publickey', signer }],
      onAuthenticated: () => resolve(),
      onOffer: (offer) => offer.refuse(REFUSED),
      onGlobal: ({ reply }) => reply?.({ isGranted: false }),
      onEnd: () => agent.lose(),
    },
    Date.now,
    reads,
  );
  const agent: SshConnection = connectSsh(socket, {
    role: 'server',
    room,
    algorithms,
    hostKeys: [ours],
    methods: ['none'],
    onQuestion: ({ id }) => agent.answer(id, 'accept'),
    onAuthenticated: () => {},
    onOffer: (offer) => void ready.then(() => join(offer, upstream)),
    onGlobal: ({ reply }) => reply?.({ isGranted: false }),
    onEnd: () => upstream.lose(),
  });
}

/** Passes on all that comes on one channel, both ways. */
function join(offer: SshOffer, upstream: SshConnection): void {
  const toward = (other: () => Channels[keyof Channels], own: () => Channels[keyof Channels]): SshChannelHandler => ({
    onData: (data, stream) => other().write(data, stream, (bytes) => own().consumed(bytes)),
    onEof: () => other().eof(),
    onRequest: ({ name, payload, reply }) => other().request(name, payload, reply),
    onClose: () => other().close(),
  });
  const ends = {} as Channels;
  const toAgent = toward(
    () => ends.agent,
    () => ends.host,
  );
  const toHost = toward(
    () => ends.host,
    () => ends.agent,
  );
  upstream.open(offer.type, offer.payload, toAgent, (result) => {
    if (result.kind === 'refused') return offer.refuse(REFUSED);
    ends.host = result.channel;
    ends.agent = offer.accept(toHost);
    return undefined;
  });
}

interface Channels {
  agent: ReturnType<SshOffer['accept']>;
  host: ReturnType<SshOffer['accept']>;
}

const server = createServer({ noDelay: true }, (socket) => void serve(socket)).listen(0, '127.0.0.1');
await once(server, 'listening');
process.stdout.write(`${(server.address() as AddressInfo).port}\n`);

import { posix } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Reader, string, uint32, uint64 } from '../wire/data.ts';
import { SshError } from '../wire/error.ts';
import { EXTENSIONS, PacketStream, packet, STATUS, status, TYPE } from '../wire/sftp.ts';
import { parseRequest } from '../wire/sftp-request.ts';
import { judgeBy } from './files.test-support.ts';
import { SftpRelay } from './sftp.ts';

const NO_ATTRIBUTES = uint32(0);
const VERSION = packet(TYPE.version, uint32(3));
const judge = judgeBy([['Allow', ['read', 'write', 'list', 'delete'], ['/ok/**']]]);

interface Sent {
  readonly type: number;
  readonly id: number;
  readonly body: Buffer;
}

/** The machine between a client and a server that are both played by the test. */
class Played {
  readonly toServer: Sent[] = [];
  readonly toAgent: Sent[] = [];
  readonly ends: unknown[] = [];
  /** Whose fault each end was. */
  readonly blamed: string[] = [];
  readonly relay: SftpRelay;

  constructor(onRequest: (sent: Sent) => void = () => {}) {
    const [server, agent] = [new PacketStream(), new PacketStream()];
    this.relay = new SftpRelay({
      judge,
      toServer: (bytes) => collect(server, bytes, this.toServer, onRequest),
      toAgent: (bytes) => collect(agent, bytes, this.toAgent),
      toStderr: () => {},
      onRecord: () => {},
      onRoom: () => {},
      onServerEnd: () => {},
      onEnd: (error, by) => {
        this.ends.push(error);
        this.blamed.push(by);
      },
      resolvesLinks: true,
    });
  }

  begin(): this {
    this.relay.fromAgent(packet(TYPE.init, uint32(3)));
    this.relay.fromServer(VERSION);
    return this;
  }

  /** Asks for a file and has its path resolved. @returns what the server was asked last */
  async open(path = '/ok/file', id = 1): Promise<Sent> {
    this.relay.fromAgent(packet(TYPE.open, uint32(id), string(path), uint32(1), NO_ATTRIBUTES));
    await turn();
    this.relay.fromServer(nameOf(this.last().id, path));
    await turn();
    return this.last();
  }

  /** A handle `h` that the agent may read. */
  async opened(): Promise<this> {
    const { id } = await this.open();
    this.relay.fromServer(packet(TYPE.handle, uint32(id), string('h')));
    await turn();
    return this;
  }

  async listed(): Promise<this> {
    this.relay.fromAgent(packet(TYPE.opendir, uint32(1), string('/ok')));
    await turn();
    this.relay.fromServer(nameOf(this.last().id, '/ok'));
    await turn();
    this.relay.fromServer(packet(TYPE.handle, uint32(this.last().id), string('d')));
    await turn();
    return this;
  }

  ask(type: number, ...fields: Buffer[]): number {
    this.relay.fromAgent(packet(type, uint32(9), ...fields));
    return this.last().id;
  }

  last(): Sent {
    return this.toServer.at(-1) as Sent;
  }
}

function collect(stream: PacketStream, bytes: Buffer, into: Sent[], onPacket: (sent: Sent) => void = () => {}): void {
  stream.push(bytes);
  for (let next = stream.next(); next; next = stream.next()) {
    const body = Buffer.from(next);
    const sent = { type: body[0] ?? 0, id: body.readUInt32BE(1), body };
    into.push(sent);
    onPacket(sent);
  }
}

const nameOf = (id: number, ...names: string[]): Buffer =>
  packet(TYPE.name, uint32(id), uint32(names.length), ...names.flatMap((name) => [string(name), string(''), NO_ATTRIBUTES]));

describe('a hostile server', () => {
  it.each<[string, () => Promise<{ played: Played; says: Buffer }>]>([
    ['speaks first', async () => ({ played: new Played(), says: VERSION })],
    [
      'does not begin with its version',
      async () => {
        const played = new Played();
        played.relay.fromAgent(packet(TYPE.init, uint32(3)));
        return { played, says: status(1, 0, '') };
      },
    ],
    ['says its version twice', async () => ({ played: new Played().begin(), says: VERSION })],
    ['answers what nobody asked', async () => ({ played: new Played().begin(), says: status(7, 0, '') })],
    [
      'answers twice',
      async () => {
        const played = await new Played().begin().opened();
        return { played, says: packet(TYPE.handle, uint32(played.last().id), string('i')) };
      },
    ],
    [
      'says that a file is open, and gives no handle',
      async () => {
        const played = new Played().begin();
        return { played, says: status((await played.open()).id, STATUS.ok, '') };
      },
    ],
    [
      'gives a handle that is in use',
      async () => {
        const played = await new Played().begin().opened();
        return { played, says: packet(TYPE.handle, uint32((await played.open()).id), string('h')) };
      },
    ],
    [
      'gives a handle to who wants to read',
      async () => {
        const played = await new Played().begin().opened();
        const id = played.ask(TYPE.read, string('h'), uint64(0n), uint32(4));
        return { played, says: packet(TYPE.handle, uint32(id), string('i')) };
      },
    ],
    [
      'sends more than was asked for',
      async () => {
        const played = await new Played().begin().opened();
        const id = played.ask(TYPE.read, string('h'), uint64(0n), uint32(4));
        return { played, says: packet(TYPE.data, uint32(id), string('12345')) };
      },
    ],
    ...['../../.ssh/authorized_keys', '/etc/passwd', 'a/b', '', 'a\0b', 'x'.repeat(5_000)].map(
      (name): [string, () => Promise<{ played: Played; says: Buffer }>] => [
        `lists ${JSON.stringify(name.slice(0, 30))}`,
        async () => {
          const played = await new Played().begin().listed();
          return { played, says: nameOf(played.ask(TYPE.readdir, string('d')), name) };
        },
      ],
    ),
    ['announces a packet without end', async () => ({ played: new Played().begin(), says: Buffer.from('ffffffff', 'hex') })],
    [
      'answers limits with less than four numbers',
      async () => {
        const played = new Played().begin();
        const id = played.ask(TYPE.extended, string('limits@openssh.com'));
        return { played, says: packet(TYPE.extendedReply, uint32(id), uint64(1n)) };
      },
    ],
  ])('that %s ends the channel, and the agent gets nothing of it', async (_, prepare) => {
    const { played, says } = await prepare();
    const before = played.toAgent.length;
    played.relay.fromServer(says);
    await turn();
    expect([played.ends, played.blamed]).toEqual([[expect.any(SshError)], ['host']]);
    played.relay.fromServer(status(1, 0, ''));
    played.relay.fromAgent(packet(TYPE.stat, uint32(2), string('/ok')));
    expect([played.ends.length, played.toAgent.length]).toEqual([1, before]);
  });

  it.each<[string, string[]]>([
    ['somewhere relative', ['ok/file']],
    ['somewhere that is not tidy', ['/ok/../etc/passwd']],
    ['two places', ['/ok/file', '/ok/other']],
    ['nowhere', []],
  ])('that resolves a path to %s does not get the request', async (_, names) => {
    const played = new Played().begin();
    played.relay.fromAgent(packet(TYPE.open, uint32(5), string('/ok/file'), uint32(1), NO_ATTRIBUTES));
    await turn();
    played.relay.fromServer(nameOf(played.last().id, ...names));
    await turn();
    expect(played.toServer.map(({ type }) => type)).toEqual([TYPE.init, TYPE.realpath]);
    expect(played.toAgent.at(-1)).toMatchObject({ type: TYPE.status, id: 5 });
    expect(played.ends).toEqual([]);
  });

  it('may give a handle again once it was closed, in the order of its answers', async () => {
    const played = await new Played().begin().opened();
    played.ask(TYPE.close, string('h'));
    const [size, closed] = played.toServer.slice(-2);
    expect([size?.type, closed?.type]).toEqual([TYPE.fstat, TYPE.close]);
    played.relay.fromServer(status(closed?.id ?? 0, STATUS.ok, ''));
    await played.opened();
    expect(played.ends).toEqual([]);
  });
});

describe('a hostile client', () => {
  it.each<[string, Buffer[]]>([
    ['does not say its version', [packet(TYPE.stat, uint32(1), string('/ok'))]],
    ['says it twice', [packet(TYPE.init, uint32(3)), packet(TYPE.init, uint32(3))]],
    ['speaks version 2', [packet(TYPE.init, uint32(2))]],
    ['announces a packet without end', [packet(TYPE.init, uint32(3)), Buffer.from('7fffffff', 'hex')]],
    ['puts bytes behind a path', [packet(TYPE.init, uint32(3)), packet(TYPE.stat, uint32(1), string('/ok'), uint32(0))]],
    ['speaks of a string beyond its packet', [packet(TYPE.init, uint32(3)), packet(TYPE.stat, uint32(1), uint32(99))]],
  ])('that %s ends the channel', (_, says) => {
    const played = new Played();
    for (const bytes of says) played.relay.fromAgent(bytes);
    expect([played.ends, played.blamed]).toEqual([[expect.any(SshError)], ['agent']]);
  });

  it('uses no handle that it was not given, nor one that is closed', async () => {
    const played = await new Played().begin().opened();
    played.ask(TYPE.close, string('h'));
    const before = played.toServer.length;
    for (const handle of ['h', 'H', '', 'x'.repeat(300)]) {
      played.ask(TYPE.read, string(handle), uint64(0n), uint32(4));
      played.ask(TYPE.write, string(handle), uint64(0n), string('x'));
      played.ask(TYPE.readdir, string(handle));
      played.ask(TYPE.close, string(handle));
    }
    expect(played.toServer).toHaveLength(before);
    expect(played.toAgent.slice(-16).every(({ type }) => type === TYPE.status)).toBe(true);
  });

  it('may use one number for everything', async () => {
    const played = await new Played().begin().opened();
    const asked = [1, 2, 3].map((length) => played.ask(TYPE.read, string('h'), uint64(0n), uint32(length)));
    expect(new Set(asked).size).toBe(3);
    for (const id of asked) played.relay.fromServer(packet(TYPE.data, uint32(id), string('x')));
    expect(played.toAgent.slice(-3).map(({ id, type }) => [id, type])).toEqual(asked.map(() => [9, TYPE.data]));
  });

  it('reads no more at once than fits a packet', async () => {
    const played = await new Played().begin().opened();
    played.ask(TYPE.read, string('h'), uint64(0n), uint32(0xffff_ffff));
    expect(parseRequest(played.last().body)).toMatchObject({ kind: 'read', length: 261_120 });
  });

  it('never gets a request through whose path was not judged, whatever it says', async () => {
    const parts = fc.array(fc.constantFrom('ok', 'no', '..', '.', '', 'a'), { maxLength: 4 });
    const path = fc.tuple(fc.boolean(), parts).map(([isAbsolute, all]) => string(`${isAbsolute ? '/' : ''}${all.join('/')}`));
    const plain = fc.constantFrom(...Object.values(TYPE));
    const names = fc.constantFrom(...Object.values(EXTENSIONS).map(({ name }) => string(name)));
    const field = fc.oneof(path, path, fc.constantFrom(uint32(1), uint32(0x1a), NO_ATTRIBUTES, string('h'), uint64(0n)));
    const request = fc
      .tuple(plain, names, fc.array(field, { maxLength: 4 }))
      .map(([type, name, fields]) => packet(type, uint32(1), ...(type === TYPE.extended ? [name] : []), ...fields))
      // Of those that end the channel there is another test.
      .filter((bytes) => {
        try {
          return parseRequest(bytes.subarray(4)).group !== 'init';
        } catch {
          return false;
        }
      });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
        const played: Played = new Played(({ type, id, body }) => {
          if (type === TYPE.init) return;
          const answer =
            type === TYPE.realpath
              ? nameOf(id, posix.resolve('/ok', new Reader(body, 5).string().toString()))
              : status(id, 4, '');
          setImmediate(() => played.relay.fromServer(answer));
        }).begin();
        for (const bytes of requests) played.relay.fromAgent(bytes);
        while (played.relay.underWay > 0) await turn();
        expect(played.ends).toEqual([]);
        expect(played.toAgent.filter(({ type }) => type !== TYPE.version)).toHaveLength(requests.length);
        for (const { body, type } of played.toServer.slice(1)) {
          const sent = parseRequest(body);
          // What is looked at before judging.
          if (sent.group !== 'path' || ['realpath', 'expand-path', 'home-directory'].includes(sent.kind)) continue;
          for (const forwarded of sent.paths)
            if (type !== TYPE.lstat) expect(forwarded.toString()).toMatch(/^\/ok(\/(?!\.{1,2}(\/|$))[^/]+)*\/?$/);
        }
      }),
      { numRuns: 300 },
    );
  });
});

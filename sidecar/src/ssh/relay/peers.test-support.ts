import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as dial, createServer, type Server } from 'node:net';
import { eventually, freePort } from '@chaperone/testing';
import { type AlgorithmSet, UPSTREAM_LEGACY } from '../wire/algorithms.ts';
import type { AuthAnswer, AuthQuestion } from '../wire/auth-server.ts';
import type { Channel, ChannelHandler, ChannelRequest, Stream } from '../wire/channel.ts';
import { encode, parse } from '../wire/channel-messages.ts';
import type { Offer } from '../wire/channels.ts';
import type { ClientSettings, Connection, ServerSettings } from '../wire/connection.ts';
import { ROOM } from '../wire/connection.test-support.ts';
import type { Keygen } from '../wire/keygen.test-support.ts';
import { parsePrivateKey } from '../wire/private-key.ts';
import { connect } from './socket.ts';

export interface Ran {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Null where a signal ended it. */
  readonly status: number | null;
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  input: Buffer | 'ignore' = 'ignore',
  env: NodeJS.ProcessEnv = process.env,
): Promise<Ran> {
  const child = spawn(program, args, { stdio: [input === 'ignore' ? 'ignore' : 'pipe', 'pipe', 'pipe'], env });
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  child.stdout?.on('data', (data: Buffer) => parts.stdout.push(data));
  child.stderr?.on('data', (data: Buffer) => parts.stderr.push(data));
  const [status] = (await once(child, 'close')) as [number | null];
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr), status };
}

/** Runs with /bin/sh what is asked for on a session, as a server of programs does. */
class Shell implements ChannelHandler {
  channel: Channel | undefined;
  #child: ChildProcess | undefined;

  onRequest({ name, payload, reply }: ChannelRequest): void {
    // Nobody reads what it prints any more (OpenSSH's PROTOCOL, section 2.1).
    if (name === 'eow@openssh.com') this.#child?.stdout?.destroy();
    if (name !== 'exec' || this.#child !== undefined) return reply?.(false);
    const child = spawn('/bin/sh', ['-c', parse.exec(payload).toString()], { stdio: 'pipe' });
    this.#child = child;
    child.stdin.on('error', () => {});
    const forward = (stream: Stream) => (data: Buffer) => {
      const source = stream === 'data' ? child.stdout : child.stderr;
      let left = data.length;
      source.pause();
      this.channel?.write(data, stream, (bytes) => {
        left -= bytes;
        if (left === 0) source.resume();
      });
    };
    child.stdout.on('data', forward('data'));
    child.stderr.on('data', forward('stderr'));
    child.on('close', (status, signal) => {
      if (signal === null) this.channel?.request('exit-status', encode.exitStatus(status ?? 0));
      else this.channel?.request('exit-signal', encode.exitSignal({ name: signal.slice(3), isCoreDumped: false, message: '' }));
      this.channel?.eof();
      this.channel?.close();
    });
    return reply?.(true);
  }
  onData(data: Buffer): void {
    const { length } = data;
    this.#child?.stdin?.write(Buffer.from(data), () => this.channel?.consumed(length));
  }
  onEof(): void {
    this.#child?.stdin?.end();
  }
  onClose(): void {
    this.#child?.kill('SIGHUP');
  }
}

export interface OwnServer extends AsyncDisposable {
  readonly port: number;
  readonly questions: AuthQuestion[];
  readonly connections: Connection[];
}

/** A server of ours that runs commands for whom `decide` lets in. */
export async function startOwnServer(
  settings: Pick<ServerSettings, 'hostKeys'> & Partial<ServerSettings>,
  decide: (question: AuthQuestion) => AuthAnswer,
): Promise<OwnServer> {
  const questions: AuthQuestion[] = [];
  const connections: Connection[] = [];
  const server: Server = createServer((socket) => {
    const connection: Connection = connect(socket, {
      role: 'server',
      room: ROOM,
      algorithms: UPSTREAM_LEGACY,
      methods: ['publickey', 'password', 'keyboard-interactive'],
      onQuestion: (question) => {
        questions.push(question);
        setImmediate(() => connection.answer(question.id, decide(question)));
      },
      onAuthenticated: () => {},
      onOffer: (offer: Offer) => {
        const shell = new Shell();
        if (offer.type === 'session') shell.channel = offer.accept(shell);
        else offer.refuse({ code: 1, text: 'sessions only' });
      },
      onGlobal: ({ reply }) => reply?.({ isGranted: false }),
      onEnd: () => {},
      ...settings,
    });
    connections.push(connection);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    questions,
    connections,
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.disconnect(11, 'the test is over');
      server.close();
      await once(server, 'close');
    },
  };
}

/** Runs a command by a client of ours. @throws what ended the connection before the command had */
export async function runOwnClient(
  port: number,
  settings: Pick<ClientSettings, 'hostKey' | 'user' | 'credentials'> & { algorithms?: AlgorithmSet; rekey?: { bytes: number } },
  command: string,
  input: Buffer = Buffer.alloc(0),
): Promise<Ran & { readonly connection: Connection }> {
  const parts: Record<Stream, Buffer[]> = { data: [], stderr: [] };
  let status: number | null = null;
  const connection = await new Promise<Connection>((resolve, reject) => {
    let channel: Channel | undefined;
    const handler: ChannelHandler = {
      onData: (data, stream) => {
        parts[stream].push(Buffer.from(data));
        channel?.consumed(data.length);
      },
      onEof: () => {},
      onRequest: ({ name, payload, reply }) => {
        if (name === 'exit-status') status = parse.exitStatus(payload);
        reply?.(false);
      },
      onClose: () => resolve(own),
    };
    const fail = (text: string): void => {
      reject(new Error(text));
      own.disconnect(11, 'done');
    };
    const own: Connection = connect(dial(port, '127.0.0.1'), {
      role: 'client',
      room: ROOM,
      algorithms: UPSTREAM_LEGACY,
      ...settings,
      onAuthenticated: () =>
        own.open('session', Buffer.alloc(0), handler, (result) => {
          if (result.kind === 'refused') return fail(result.text);
          channel = result.channel;
          channel.request('exec', encode.exec(Buffer.from(command)), (isGranted) => {
            if (!isGranted) fail('no command may run');
          });
          return writeAll(channel, input);
        }),
      onOffer: (offer) => offer.refuse({ code: 1, text: 'no' }),
      onGlobal: ({ reply }) => reply?.({ isGranted: false }),
      onEnd: (error) => reject(error ?? new Error('the connection ended')),
    });
  });
  connection.disconnect(11, 'done');
  return { stdout: Buffer.concat(parts.data), stderr: Buffer.concat(parts.stderr), status, connection };
}

/** Writes the next part once the one before has gone. */
function writeAll(channel: Channel, input: Buffer): void {
  const part = input.subarray(0, 1_000_000);
  if (part.length === 0) return channel.eof();
  let left = part.length;
  return channel.write(part, 'data', (bytes) => {
    left -= bytes;
    if (left === 0) writeAll(channel, input.subarray(part.length));
  });
}

/** A program that listens on a free port until it is disposed of. */
export async function startProgram(
  program: string,
  args: (port: number) => readonly string[],
): Promise<AsyncDisposable & { readonly port: number }> {
  const port = await freePort();
  const child = spawn(program, args(port), { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-4_000);
  });
  const closed = once(child, 'close');
  await eventually(`${program} to listen`, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`);
    const socket = dial(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
    return true;
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill();
      await closed;
    },
  };
}

/** OpenSSH's server for who runs the test, by keys in `authorized` and certificates of `ca.pub`; its own key and certificate are `host`'s. */
export async function startSshd(keygen: Keygen, lines: readonly string[]): Promise<AsyncDisposable & { readonly port: number }> {
  // Of the package; where the system does not start the server nobody makes it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  chmodSync(keygen.directory, 0o755);
  const config = keygen.path(`sshd-${lines.length}-${Math.random().toString(36).slice(2)}`);
  writeFileSync(
    config,
    [
      ...lines,
      `AuthorizedKeysFile ${keygen.path('authorized')}`,
      `TrustedUserCAKeys ${keygen.path('ca.pub')}`,
      'StrictModes no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'UsePAM no',
      'PidFile none',
    ].join('\n'),
  );
  return startProgram('/usr/sbin/sshd', (port) => ['-D', '-e', '-f', config, '-o', `ListenAddress=127.0.0.1:${port}`]);
}

export const signerIn = (keygen: Keygen, name: string): ReturnType<typeof parsePrivateKey> => parsePrivateKey(keygen.text(name));

import { boolean, byte, Reader, string, uint32 } from './data.ts';
import { SshError } from './error.ts';

/** Message numbers of RFC 4254, section 9. */
export const CHANNEL = {
  globalRequest: 80,
  requestSuccess: 81,
  requestFailure: 82,
  open: 90,
  openConfirmation: 91,
  openFailure: 92,
  windowAdjust: 93,
  data: 94,
  extendedData: 95,
  eof: 96,
  close: 97,
  request: 98,
  success: 99,
  failure: 100,
} as const;

/** RFC 4254, section 5.1: why a channel is not opened. */
export const OPEN_FAILURE = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4,
} as const;

/** Bytes of a command. Linux takes no longer argument (MAX_ARG_STRLEN). */
const MAX_COMMAND = 128 * 1024;
/** Bytes of an environment variable's value, and of a message to people. */
const MAX_VALUE = 32 * 1024;
/** Bytes of a host name, an address, or the name of a variable. */
const MAX_NAME = 256;
/** Bytes of a terminal's modes: 159 of them at 5 bytes, and the end. */
const MAX_MODES = 1024;

/** RFC 4254, section 6.2. `modes` are as they came (section 8). */
export interface Terminal {
  readonly term: string;
  readonly columns: number;
  readonly rows: number;
  readonly widthPixels: number;
  readonly heightPixels: number;
  readonly modes: Buffer;
}

/** RFC 4254, section 6.4. Bytes: nothing says that they are text. */
export interface Variable {
  readonly name: Buffer;
  readonly value: Buffer;
}

/** RFC 4254, section 6.10. */
export interface ExitSignal {
  /** Without SIG. */
  readonly name: string;
  readonly isCoreDumped: boolean;
  readonly message: string;
}

/** RFC 4254, section 7.2. Of a `forwarded-tcpip` channel `host` and `port` are where somebody connected, of a `direct-tcpip` one where to. */
export interface Forward {
  readonly host: string;
  readonly port: number;
  readonly originatorHost: string;
  readonly originatorPort: number;
}

/** Reads what follows a request's or a channel's type. All throw SshError for anything but what they name, whole and within bounds. */
export const parse = {
  /** The command of `exec`: bytes, not empty, without NUL, which would end it early elsewhere. */
  exec: whole((reader) => bounded(reader, MAX_COMMAND, 1)),
  subsystem: whole((reader) => reader.ascii()),
  shell: whole(() => undefined),
  exitStatus: whole((reader) => reader.uint32()),
  env: whole((reader): Variable => ({ name: bounded(reader, MAX_NAME, 1), value: bounded(reader, MAX_VALUE) })),
  ptyReq: whole(readTerminal),
  exitSignal: whole(readExitSignal),
  forward: whole(readForward),
};

export const encode = {
  exec: (command: Buffer): Buffer => string(command),
  subsystem: (name: string): Buffer => string(name),
  shell: (): Buffer => Buffer.alloc(0),
  exitStatus: (status: number): Buffer => uint32(status),
  env: ({ name, value }: Variable): Buffer => Buffer.concat([string(name), string(value)]),
  ptyReq: ({ term, columns, rows, widthPixels, heightPixels, modes }: Terminal): Buffer =>
    Buffer.concat([string(term), ...[columns, rows, widthPixels, heightPixels].map(uint32), string(modes)]),
  exitSignal: ({ name, isCoreDumped, message }: ExitSignal): Buffer =>
    Buffer.concat([string(name), boolean(isCoreDumped), string(message), string('')]),
  forward: ({ host, port, originatorHost, originatorPort }: Forward): Buffer =>
    Buffer.concat([string(host), uint32(port), string(originatorHost), uint32(originatorPort)]),
};

/** A channel message to the channel `remote`: its number, then `fields`. */
export const channelMessage = (message: number, remote: number, ...fields: readonly Buffer[]): readonly Buffer[] => [
  byte(message),
  uint32(remote),
  ...fields,
];

function whole<Value>(read: (reader: Reader) => Value): (payload: Buffer) => Value {
  return (payload) => {
    const reader = new Reader(payload);
    const value = read(reader);
    reader.end();
    return value;
  };
}

function readTerminal(reader: Reader): Terminal {
  const term = text(reader, 64);
  const [columns, rows, widthPixels, heightPixels] = Array.from({ length: 4 }, () => reader.uint32()) as [
    number,
    number,
    number,
    number,
  ];
  const modes = reader.string();
  if (modes.length > MAX_MODES) throw new SshError('more modes than a terminal has');
  return { term, columns, rows, widthPixels, heightPixels, modes: Buffer.from(modes) };
}

function readExitSignal(reader: Reader): ExitSignal {
  const signal = { name: reader.ascii(), isCoreDumped: reader.boolean(), message: text(reader, MAX_VALUE) };
  reader.string();
  return signal;
}

function readForward(reader: Reader): Forward {
  return {
    host: text(reader, MAX_NAME),
    port: readPort(reader),
    originatorHost: text(reader, MAX_NAME),
    originatorPort: readPort(reader),
  };
}

function readPort(reader: Reader): number {
  const port = reader.uint32();
  if (port > 0xffff) throw new SshError('a port that cannot be');
  return port;
}

/** A copy of a string without NUL, of `min` to `max` bytes. */
function bounded(reader: Reader, max: number, min = 0): Buffer {
  const bytes = reader.string();
  if (bytes.length < min || bytes.length > max || bytes.includes(0)) throw new SshError('a request with a value that cannot be');
  return Buffer.from(bytes);
}

function text(reader: Reader, max: number): string {
  const value = bounded(reader, max).toString('utf8');
  if (value.includes('\ufffd')) throw new SshError('a request with a text that is not UTF-8');
  return value;
}

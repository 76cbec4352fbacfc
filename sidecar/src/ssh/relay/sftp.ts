import { type FileJudge, fileEffect } from '../actions/files.ts';
import { string, uint32, uint64 } from '../wire/data.ts';
import { SshError } from '../wire/error.ts';
import { MAX_DATA_BYTES, type Numbered, PacketStream, packet, SFTP_VERSION, STATUS, status, TYPE } from '../wire/sftp.ts';
import { type HandleRequest, parseRequest, type SftpRequest } from '../wire/sftp-request.ts';
import { clampLimits, parseVersion, type SftpResponse } from '../wire/sftp-response.ts';
import { decide, GONE, tellEnd } from './file-judging.ts';
import type { FileCapture, FileRecord, Side } from '../../running/file-record.ts';
import { type OpenFile, OpenFiles } from './sftp-files.ts';
import { outcomeOf, type SftpDesk, SftpOperation } from './sftp-operations.ts';
import { SftpPaths } from './sftp-paths.ts';
import { SftpUpstream } from './sftp-upstream.ts';
import { Turns } from './turns.ts';

/** Requests of the agent that are not answered; more wait in its stream. */
export const MAX_REQUESTS = 1_024;
/** Different lines on standard error, of one session. */
const MAX_LINES = 64;

type SetAttributes = Extract<HandleRequest, { kind: 'fsetstat' }>;

export interface SftpOptions {
  readonly judge: FileJudge;
  /** Gets bytes that are gone when it returns; so does the next. */
  readonly toServer: (bytes: Buffer) => void;
  readonly toAgent: (bytes: Buffer) => void;
  /** One line for the agent's standard error, without its end: OpenSSH's clients show no sentence of a STATUS. */
  readonly toStderr: (line: string) => void;
  readonly onRecord: (record: FileRecord) => void;
  /** There is room for requests again. */
  readonly onRoom: () => void;
  /** The agent has ended its side and everything that it asked is answered, but for what waits for people: that never runs. */
  readonly onServerEnd: () => void;
  /** A side broke the protocol, or we did: the channel has to be closed. Called once; nothing comes after it. */
  readonly onEnd: (error: unknown, by: Side) => void;
  /** Whether REALPATH of this server follows links, as OpenSSH's does. */
  readonly resolvesLinks: boolean;
  /** One for all sessions that an agent has with a server, so that none changes links under another one's feet. */
  readonly turns?: Turns;
  readonly capture?: FileCapture;
}

/**
 * Stands between an SFTP client and an SFTP server, on the bytes of one channel. Every path is judged as the server resolves it, and
 * the server gets it as it was judged. It owns no socket and no clock: whoever feeds it stops feeding a side while what it sends to
 * the other one waits, and the agent's while {@link isFull}. It keeps nothing of the chunks that it is given.
 */
export class SftpRelay {
  readonly #options: SftpOptions;
  readonly #upstream: SftpUpstream;
  readonly #files = new OpenFiles();
  readonly #desk: SftpDesk;
  readonly #operations = new Set<SftpOperation>();
  readonly #agent = new PacketStream();
  readonly #server = new PacketStream();
  readonly #said = new Set<string>();
  #state: 'init' | 'version' | 'open' | 'over' = 'init';
  #active = 0;
  #held = 0;
  #agentEnded = false;
  #serverEnded = false;
  #serving = false;

  constructor(options: SftpOptions) {
    this.#options = options;
    this.#upstream = new SftpUpstream((bytes) => {
      if (!this.#isOver()) options.toServer(bytes);
    });
    this.#desk = {
      upstream: this.#upstream,
      paths: new SftpPaths(this.#upstream, options.resolvesLinks),
      files: this.#files,
      judge: options.judge,
      turns: options.turns ?? new Turns(),
      capture: options.capture,
      isOver: () => this.#isOver(),
      answer: (request, response) => this.#answer(request, response),
      fail: (request, code, message) => this.#reply(status(request.id, code, message)),
      deny: (request, line) => this.#deny(request, line),
      hold: (line) => this.#hold(line),
      resume: () => this.#resume(),
      record: options.onRecord,
    };
  }

  /** Requests of the agent that are not answered. */
  get underWay(): number {
    return this.#active;
  }

  /** As many are under way as may be: what the agent sends waits. */
  get isFull(): boolean {
    return this.#active >= MAX_REQUESTS;
  }

  fromAgent(chunk: Buffer): void {
    if (this.#isOver()) return;
    this.#agent.push(chunk);
    this.#serveAgent();
  }

  fromServer(chunk: Buffer): void {
    if (this.#isOver()) return;
    this.#server.push(chunk);
    this.#guard('host', () => {
      for (let next = this.#server.next(); next && !this.#isOver(); next = this.#server.next()) this.#receive(next);
    });
  }

  /** The agent sends no more. */
  endOfAgent(): void {
    this.#agentEnded = true;
    this.#settle();
  }

  /** The channel is gone. What is open is recorded as cut off; what waits for people never runs. */
  close(): void {
    if (this.#isOver()) return;
    this.#state = 'over';
    for (const operation of this.#operations) operation.abandon();
    for (const file of this.#files.takeAll()) this.#recordAll(file, 'cut off');
  }

  #isOver(): boolean {
    return this.#state === 'over';
  }

  #guard(by: Side, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#end(error, by);
    }
  }

  /** @param by - who broke the protocol, where it was that; what we wait for comes from the host */
  #end(error: unknown, by: Side = 'host'): void {
    if (this.#isOver()) return;
    this.close();
    this.#options.onEnd(error, by);
  }

  #serveAgent(): void {
    // An answer makes room, and comes while a request is served.
    if (this.#serving) return;
    this.#serving = true;
    this.#guard('agent', () => {
      while (!this.isFull && !this.#isOver()) {
        const next = this.#agent.next();
        if (!next) break;
        this.#serve(parseRequest(next));
      }
    });
    this.#serving = false;
  }

  #serve(request: SftpRequest): void {
    if ((request.group === 'init') !== (this.#state === 'init'))
      throw new SshError('an SFTP client did not begin with its version');
    if (request.group === 'init') {
      this.#state = 'version';
      this.#options.toServer(packet(TYPE.init, uint32(SFTP_VERSION)));
      return;
    }
    this.#active++;
    switch (request.group) {
      case 'path':
        return this.#servePath(new SftpOperation(this.#desk, request));
      case 'handle':
        return this.#serveHandle(request);
      case 'limits':
        return this.#upstream.send(TYPE.extended, 'extended', [request.rest], (response) =>
          response.kind === 'extended'
            ? this.#reply(packet(TYPE.extendedReply, uint32(request.id), clampLimits(response.content)))
            : this.#answer(request, response),
        );
      default:
        return this.#fail(request, STATUS.unsupported, 'Operation unsupported');
    }
  }

  #servePath(operation: SftpOperation): void {
    this.#operations.add(operation);
    operation
      .serve()
      .catch((error: unknown) => this.#end(error))
      .finally(() => this.#operations.delete(operation));
  }

  #serveHandle(request: HandleRequest): void {
    const file = this.#files.get(request.handle);
    if (!file) return this.#fail(request, STATUS.failure, 'The handle is not open');
    if (request.kind !== 'close' && !this.#mayUse(request, file)) return undefined;
    switch (request.kind) {
      case 'read':
        return this.#read(request, file);
      case 'write':
        return this.#write(request, file);
      case 'readdir':
        return this.#pass(request, TYPE.readdir, 'name', checkNames);
      case 'close':
        return this.#close(request, file);
      case 'fstat':
        return this.#pass(request, TYPE.fstat, 'attrs');
      case 'fstatvfs':
        return this.#pass(request, TYPE.extended, 'extended');
      case 'fsync':
        return this.#pass(request, TYPE.extended, 'status');
      case 'fsetstat':
        return this.#setAttributes(request, file);
      case 'copy-data':
        return this.#copy(request, file);
    }
  }

  /** What was allowed when it was opened may not be any more. Closing it always is. */
  #mayUse(request: Numbered, file: OpenFile): boolean {
    const line = file.whyNot();
    if (line === undefined) return true;
    if (!file.isRefused) this.#options.onRecord({ operation: file.operation, path: file.path, outcome: 'denied' });
    file.isRefused = true;
    this.#deny(request, line);
    return false;
  }

  #pass(
    request: Numbered,
    type: number,
    expected: SftpResponse['kind'],
    look: (response: SftpResponse) => void = () => {},
  ): void {
    this.#upstream.send(type, expected, [request.rest], (response) => {
      look(response);
      this.#answer(request, response);
    });
  }

  #read(request: Extract<HandleRequest, { kind: 'read' }>, { reads }: OpenFile): void {
    if (!reads) return this.#fail(request, STATUS.permissionDenied, 'The file was not opened for reading');
    const { offset } = request;
    const length = Math.min(request.length, MAX_DATA_BYTES);
    const fields = [string(request.handle), uint64(offset), uint32(length)];
    this.#upstream.send(TYPE.read, 'data', fields, (response) => {
      if (response.kind === 'data') {
        if (response.data.length > length) throw new SshError('an SFTP server sent more than was asked for');
        reads.pass(offset, response.data);
      } else if (response.kind === 'status' && response.code === STATUS.eof) reads.endsAt(offset);
      this.#answer(request, response);
    });
  }

  #write(request: Extract<HandleRequest, { kind: 'write' }>, file: OpenFile): void {
    if (!file.writes) return this.#fail(request, STATUS.permissionDenied, 'The file was not opened for writing');
    const { offset, data } = request;
    file.written(offset, data);
    this.#upstream.forward(this.#agent, (response) => {
      file.answered(outcomeOf(response) === 'ok');
      this.#answer(request, response);
    });
  }

  /** Requests behind it do not find the handle; the server may give it anew at once. */
  #close(request: HandleRequest, file: OpenFile): void {
    this.#files.remove(request.handle);
    const { reads } = file;
    // Clients that know the size do not read on to the end.
    if (reads?.wantsEnd) {
      this.#upstream.send(TYPE.fstat, 'attrs', [string(request.handle)], (response) => {
        if (response.kind === 'attrs' && response.attributes.size !== undefined) reads.endsAt(response.attributes.size);
      });
    }
    this.#upstream.send(TYPE.close, 'status', [request.rest], (response) => {
      this.#recordAll(file, outcomeOf(response));
      this.#answer(request, response);
    });
  }

  /** Servers let whoever reads a file change its attributes by the handle: that is writing. Who approved its content has not seen these. */
  #setAttributes(request: SetAttributes, file: OpenFile): void {
    if (file.writes && !isUnseen(request, file)) this.#passAttributes(request, file);
    else this.#judgeAttributes(request, file).catch((error: unknown) => this.#end(error));
  }

  async #judgeAttributes(request: SetAttributes, file: OpenFile): Promise<void> {
    const { attributes } = request;
    const action = { operation: 'attributes', effects: [fileEffect('write', file.path)], attributes };
    let wasHeld = false;
    const decision = await decide(this.#options.judge, action, (line) => {
      wasHeld = true;
      this.#hold(line);
    });
    if (wasHeld && !this.#resume()) {
      if (decision.verdict === 'allow') this.#options.onRecord({ operation: 'attributes', path: file.path, outcome: GONE });
      return tellEnd(decision, GONE);
    }
    if (decision.verdict === 'deny') {
      this.#options.onRecord({ operation: 'attributes', path: file.path, outcome: 'denied' });
      this.#deny(request, decision.line);
    } else if (this.#files.get(request.handle) !== file) {
      tellEnd(decision, 'the file was closed; it did not run');
      this.#fail(request, STATUS.failure, 'The handle is not open');
    } else {
      tellEnd(decision);
      this.#passAttributes(request, file);
    }
  }

  #passAttributes(request: SetAttributes, { writes, approved, path }: OpenFile): void {
    this.#pass(request, TYPE.fsetstat, 'status', (response) => {
      const outcome = outcomeOf(response);
      if (!writes || approved !== undefined) this.#options.onRecord({ operation: 'attributes', path, outcome });
      if (writes && request.size !== undefined && outcome === 'ok') writes.resized(request.size);
    });
  }

  #copy(request: Extract<HandleRequest, { kind: 'copy-data' }>, from: OpenFile): void {
    const to = this.#files.get(request.to);
    if (!to) return this.#fail(request, STATUS.failure, 'The handle is not open');
    if (!this.#mayUse(request, to)) return undefined;
    if (!from.reads || !to.writes) return this.#fail(request, STATUS.permissionDenied, 'A file was not opened for that');
    to.writes.spoil();
    this.#pass(request, TYPE.extended, 'status', (response) =>
      this.#options.onRecord({ operation: 'copy', path: from.path, to: to.path, outcome: outcomeOf(response) }),
    );
  }

  #receive(bytes: Buffer): void {
    if (this.#state === 'open') return this.#upstream.receive(bytes);
    if (this.#state !== 'version') throw new SshError('an SFTP server spoke first');
    this.#state = 'open';
    this.#options.toAgent(parseVersion(bytes));
  }

  #fail(request: Numbered, code: number, message: string): void {
    this.#reply(status(request.id, code, message));
  }

  #answer({ id }: Numbered, response: SftpResponse): void {
    if (response.kind === 'status') return this.#reply(status(id, response.code, response.message));
    if (response.kind === 'data') return this.#reply(this.#server.renumbered(id));
    this.#reply(packet(ANSWER_TYPE[response.kind], uint32(id), response.rest));
  }

  #reply(bytes: Buffer): void {
    if (this.#isOver()) return;
    const wasFull = this.isFull;
    this.#active--;
    this.#options.toAgent(bytes);
    this.#serveAgent();
    if (wasFull && !this.isFull) this.#options.onRoom();
    this.#settle();
  }

  #deny(request: Numbered, line: string): void {
    this.#say(line);
    this.#reply(status(request.id, STATUS.permissionDenied, line));
  }

  #hold(line: string): void {
    this.#held++;
    this.#say(line);
    this.#settle();
  }

  #resume(): boolean {
    this.#held--;
    if (this.#agentEnded) this.#active--;
    return !this.#agentEnded && !this.#isOver();
  }

  #say(line: string): void {
    if (this.#isOver() || this.#said.has(line) || this.#said.size >= MAX_LINES) return;
    this.#said.add(line);
    this.#options.toStderr(line);
  }

  #settle(): void {
    if (!this.#agentEnded || this.#serverEnded || this.#isOver() || this.#active > this.#held) return;
    this.#serverEnded = true;
    this.#options.onServerEnd();
  }

  #recordAll(file: OpenFile, outcome: string): void {
    for (const record of file.records(outcome)) this.#options.onRecord(record);
  }
}

const ANSWER_TYPE = {
  handle: TYPE.handle,
  name: TYPE.name,
  attrs: TYPE.attrs,
  extended: TYPE.extendedReply,
} as const;

/** Whether it sets what nobody saw who approved the file; its size is part of its content. */
function isUnseen({ attributes, size }: SetAttributes, { approved }: OpenFile): boolean {
  return approved !== undefined && attributes !== approved && attributes !== `size=${size}`;
}

/** Names of a directory lead nowhere else: a client may join them to a path of its own. */
function checkNames(response: SftpResponse): void {
  if (response.kind !== 'name') return;
  for (const name of response.names)
    if (name.length === 0 || name.includes(0) || name.includes(0x2f))
      throw new SshError('an SFTP server named what is no file of a directory');
}

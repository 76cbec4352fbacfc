import {
  effectsOf,
  type FileAction,
  type FileJudge,
  type FileOperation,
  fileEffect,
  joinPath,
  lexicalPath,
  mayTellOf,
  namedOf,
  operationOf,
  pathText,
} from '../actions/files.ts';
import { string } from '../wire/data.ts';
import { SshError } from '../wire/error.ts';
import { EXTENSIONS, type Numbered, STATUS, TYPE } from '../wire/sftp.ts';
import type { PathKind, PathRequest } from '../wire/sftp-request.ts';
import type { SftpResponse } from '../wire/sftp-response.ts';
import { decide, GONE, MOVED, movedLine, tellEnd, unjudgedLine } from './file-judging.ts';
import type { FileCapture, FileRecord } from '../../running/file-record.ts';
import { OpenFile, type OpenFiles } from './sftp-files.ts';
import { type Resolved, resolvedName, type SftpPaths } from './sftp-paths.ts';
import type { SftpUpstream } from './sftp-upstream.ts';
import type { Turns } from './turns.ts';

/** What requests about paths need of their session. */
export interface SftpDesk {
  readonly upstream: SftpUpstream;
  readonly paths: SftpPaths;
  readonly files: OpenFiles;
  readonly judge: FileJudge;
  readonly turns: Turns;
  readonly capture: FileCapture | undefined;
  readonly isOver: () => boolean;
  readonly answer: (request: Numbered, response: SftpResponse) => void;
  readonly fail: (request: Numbered, code: number, message: string) => void;
  /** Answers that it is not permitted, and says why. */
  readonly deny: (request: Numbered, line: string) => void;
  /** Says once that something waits for people. */
  readonly hold: (line: string) => void;
  /** It waits no longer. @returns false: the agent has gone meanwhile, and nothing more begins */
  readonly resume: () => boolean;
  readonly record: (record: FileRecord) => void;
}

/** What the server answers when it is no failure. */
const ANSWERS: Readonly<Partial<Record<PathKind, SftpResponse['kind']>>> = {
  open: 'handle',
  opendir: 'handle',
  stat: 'attrs',
  lstat: 'attrs',
  readlink: 'name',
  realpath: 'name',
  'expand-path': 'name',
  'home-directory': 'name',
  statvfs: 'extended',
};
/** What these are about is known by their answer alone. */
const BY_ANSWER: ReadonlySet<PathKind> = new Set(['realpath', 'expand-path', 'home-directory']);

const RENAMES: ReadonlySet<PathKind> = new Set(['rename', 'posix-rename']);

/** A request with its paths as the server resolved them. */
interface Plan extends FileAction {
  readonly paths: readonly string[];
}
/** With paths where they lead somewhere, and something failed there. */
type Unresolved = Exclude<Resolved, { path: string }> & { readonly paths?: readonly string[] };

/**
 * Serves one request about paths: asks the server where they lead, asks the judge, and does it with the paths that were judged.
 * While it waits for people others take their turns; then it looks again where its paths lead.
 */
export class SftpOperation {
  readonly #desk: SftpDesk;
  readonly #request: PathRequest;
  readonly #operation: FileOperation;
  #texts: readonly string[] = [];
  #endTurn: () => void = () => {};

  constructor(desk: SftpDesk, request: PathRequest) {
    this.#desk = desk;
    this.#request = request;
    this.#operation = operationOf(request.kind, request.flags);
  }

  /** Ends its turn, where it has one: the session is over. */
  abandon(): void {
    this.#endTurn();
  }

  /** @throws SshError when the server breaks the protocol */
  async serve(): Promise<void> {
    const texts = this.#request.paths.map(pathText).filter((text) => text !== undefined);
    if (texts.length < this.#request.paths.length)
      return this.#refuse('', 'its path is too long or no text', 'name files in UTF-8.');
    this.#texts = texts;
    if (texts.includes('') && !BY_ANSWER.has(this.#request.kind))
      return this.#desk.fail(this.#request, STATUS.noSuchFile, 'No such file');
    await this.#takeTurn();
    try {
      if (await this.#hasDetour())
        this.#refuse('', 'its path leads through a place that this agent may not know of', 'name files without "..".');
      else await (BY_ANSWER.has(this.#request.kind) ? this.#tellWhere() : this.#serveResolved());
    } finally {
      this.#endTurn();
    }
  }

  /** Whether it would be told, by an answer, that something is there of which the agent may not know. */
  async #hasDetour(): Promise<boolean> {
    const { paths, judge } = this.#desk;
    const isOfHome = this.#request.kind === 'expand-path';
    const texts = this.#texts.map((text) => (isOfHome ? text.replace(/^~(?=\/|$)/, '.') : text));
    // Where the home of a user is, and so what is left by `..`, the host alone knows.
    if (isOfHome && texts.some((text) => text.startsWith('~') && text.split('/').includes('..'))) return true;
    const detours = await Promise.all(texts.map((text) => paths.detours(text)));
    return detours.flat().some((place) => !mayTellOf(judge, place));
  }

  async #serveResolved(): Promise<void> {
    const plan = await this.#plan();
    if (!('effects' in plan)) return this.#unresolved(plan);
    if (this.#operation.tells && mayTellOf(this.#desk.judge, plan.paths[0] ?? '')) return this.#run(plan);
    if (this.#desk.judge.preview(plan.effects) === 'deny') {
      const named = namedOf(this.#desk.judge, await this.#lexical(), plan.paths);
      if (named !== plan.paths) return this.#denyUnasked(named, plan.paths);
    }
    let wasHeld = false;
    const decision = await decide(this.#desk.judge, plan, (line) => {
      wasHeld = true;
      this.#endTurn();
      this.#desk.hold(line);
    });
    if (wasHeld && !this.#desk.resume()) {
      if (decision.verdict === 'allow') this.#record(plan.paths, GONE);
      return tellEnd(decision, GONE);
    }
    if (decision.verdict === 'deny') return this.#deny(plan.paths, decision.line);
    if (wasHeld && !(await this.#isStill(plan))) {
      tellEnd(decision, MOVED);
      return this.#deny(plan.paths, movedLine());
    }
    tellEnd(decision);
    return this.#run(plan, wasHeld);
  }

  async #takeTurn(): Promise<void> {
    this.#endTurn = await this.#desk.turns.take(this.#operation.changes);
    if (this.#desk.isOver()) this.#endTurn();
  }

  /** Whether what was approved is what would be done now. */
  async #isStill(plan: Plan): Promise<boolean> {
    await this.#takeTurn();
    const now = await this.#plan();
    return 'effects' in now && JSON.stringify([now.paths, now.effects]) === JSON.stringify([plan.paths, plan.effects]);
  }

  async #plan(): Promise<Plan | Unresolved> {
    const resolved = await this.#resolve();
    if ('failed' in resolved || 'unknown' in resolved) return resolved;
    const { paths } = resolved;
    const below = await this.#below(paths);
    if ('failed' in below) return { ...below, paths };
    const effects = effectsOf(this.#operation, paths, below.of);
    const [from = '', to = ''] = paths;
    const [isDirectory = false] = below.of;
    // What may not be read where it is must not become readable by being moved.
    if (RENAMES.has(this.#request.kind) && (isDirectory || this.#desk.judge.preview([fileEffect('read', to)]) !== 'deny'))
      effects.push(fileEffect('read', from, isDirectory));
    return { operation: this.#operation.name, paths, effects, attributes: this.#request.attributes };
  }

  async #resolve(): Promise<{ paths: string[] } | Unresolved> {
    const { paths } = this.#desk;
    const found: string[] = [];
    // The target of a symbolic link is seen from where the link will be.
    const isSymlink = this.#request.kind === 'symlink';
    const uses = this.#operation.uses.map(({ lookup }, at) => ({ lookup, at }));
    for (const { lookup, at } of isSymlink ? uses.toReversed() : uses) {
      const text = this.#texts[at] ?? '';
      const from = isSymlink && at === 0 && !text.startsWith('/') ? directoryOf(found[1] ?? '/') : undefined;
      const resolved = await paths.resolve(from === undefined ? text : joinPath(from, text), lookup);
      if (!('path' in resolved)) return resolved;
      found[at] = resolved.path;
    }
    return { paths: found };
  }

  /** Which of the paths stand for all that is below them too: of a directory that is moved, and of one that a link leads to. */
  async #below(paths: readonly string[]): Promise<{ of: boolean[] } | Extract<Unresolved, { failed: unknown }>> {
    const isRename = RENAMES.has(this.#request.kind);
    if (!isRename && this.#request.kind !== 'symlink') return { of: [] };
    const format = await this.#desk.paths.formatOf(paths[0] ?? '');
    if (isRename && typeof format === 'object') return { failed: format };
    const isOne = format === 'other' || (isRename && format === 'link');
    return { of: [!isOne, isRename && !isOne] };
  }

  /** The server's failure is passed on to whom may know of the path; whether another path is there is not told. */
  async #unresolved(unresolved: Unresolved): Promise<void> {
    const { judge } = this.#desk;
    const written = await this.#lexical();
    const paths = unresolved.paths ?? written;
    const effects = effectsOf(this.#operation, paths);
    const mayKnow = this.#operation.tells ? mayTellOf(judge, paths[0] ?? '') : judge.preview(effects) !== 'deny';
    if (!mayKnow) return this.#denyUnasked(namedOf(judge, written, paths), paths);
    if ('unknown' in unresolved) return this.#refuse(paths[0] ?? '', unresolved.unknown, 'name files without links.');
    this.#desk.answer(this.#request, unresolved.failed);
    if (!this.#operation.tells) this.#record(paths, outcomeOf(unresolved.failed));
  }

  async #lexical(): Promise<string[]> {
    const [first = '', second] = this.#texts;
    const { paths } = this.#desk;
    if (second === undefined) return [await paths.lexical(first)];
    const other = await paths.lexical(second);
    const isFromLink = this.#request.kind === 'symlink';
    return [isFromLink ? lexicalPath(directoryOf(other), first) : await paths.lexical(first), other];
  }

  /** A path that the agent may not know of: where the server says nothing else, its own home is the only other exception. */
  async #tellWhere(): Promise<void> {
    const { upstream, judge, paths } = this.#desk;
    const [text = ''] = this.#texts;
    const answer = await upstream.ask(...this.#wire([text]));
    if (answer.kind === 'status') {
      const path = await this.#namedPath(text);
      if (!mayTellOf(judge, path)) return this.#denyUnasked([path]);
      return this.#desk.answer(this.#request, answer);
    }
    const found = resolvedName(answer);
    if ('unknown' in found) return this.#refuse('', found.unknown, 'name files without links.');
    if (found.path !== (await paths.home()) && !mayTellOf(judge, found.path)) {
      // Not even whether there is somebody of that name is told.
      return this.#denyUnasked(namedOf(judge, [await this.#namedPath(text)], [found.path]), [found.path]);
    }
    this.#desk.answer(this.#request, answer);
  }

  /** The path that the agent means; '' where that is for the server alone to say, as whose home ~name is. */
  async #namedPath(text: string): Promise<string> {
    if (this.#request.kind === 'home-directory') return '';
    if (this.#request.kind === 'realpath' || !text.startsWith('~')) return this.#desk.paths.lexical(text);
    return text === '~' || text.startsWith('~/') ? this.#desk.paths.lexical(`.${text.slice(1)}`) : '';
  }

  async #run({ paths, effects }: Plan, wasApproved = false): Promise<void> {
    const { files, upstream, capture } = this.#desk;
    const [wireType, expected, ...fields] = this.#wire(paths.map((path, at) => this.#withSlash(path, at)));
    const opens = expected === 'handle';
    if (opens && !files.reserve()) return this.#desk.fail(this.#request, STATUS.failure, 'Too many files are open');
    const answer = await upstream.ask(wireType, expected, ...fields);
    if (opens && answer.kind === 'handle') {
      const verbs = this.#operation.uses[0]?.verbs ?? [];
      const flags = this.#request.kind === 'open' ? this.#request.flags : undefined;
      const whyNot = this.#desk.judge.opened(effects, wasApproved);
      const approved = wasApproved ? this.#request.attributes : undefined;
      if (!files.add(answer.handle, new OpenFile(paths[0] ?? '', verbs, flags, { whyNot, capture, approved })))
        throw new SshError('an SFTP server gave a handle that is in use');
    } else {
      if (opens) files.release();
      if (!this.#operation.tells) this.#record(paths, outcomeOf(answer));
    }
    this.#desk.answer(this.#request, answer);
  }

  /** `file/` is an error to the server and has to stay one. */
  #withSlash(path: string, at: number): string {
    const isTarget = this.#operation.uses[at]?.lookup === 'target';
    return isTarget && path !== '/' && this.#texts[at]?.endsWith('/') ? `${path}/` : path;
  }

  #wire(paths: readonly string[]): [type: number, expected: SftpResponse['kind'], ...fields: Buffer[]] {
    const { kind, tail } = this.#request;
    const expected = ANSWERS[kind] ?? 'status';
    const fields = [...paths.map((path) => string(path)), tail];
    return isExtension(kind)
      ? [TYPE.extended, expected, string(EXTENSIONS[kind].name), ...fields]
      : [TYPE[kind], expected, ...fields];
  }

  /** Lets the judge say why it is not permitted, of `paths`; records say where they led. Nobody is asked to permit what the server cannot do. */
  async #denyUnasked(paths: readonly string[], led: readonly string[] = paths): Promise<void> {
    const { attributes } = this.#request;
    const action = { operation: this.#operation.name, effects: effectsOf(this.#operation, paths), attributes };
    const decision = await decide(this.#desk.judge, action, () => this.#endTurn());
    if (decision.verdict === 'deny') this.#deny(led, decision.line);
    else this.#desk.fail(this.#request, STATUS.permissionDenied, 'Permission denied');
  }

  #refuse(path: string, reason: string, advice: string): void {
    this.#deny([path], unjudgedLine(reason, advice));
  }

  #deny(paths: readonly string[], line: string): void {
    this.#record(paths, 'denied');
    this.#desk.deny(this.#request, line);
  }

  #record([first = '', second]: readonly string[], outcome: string): void {
    const isLink = this.#request.kind === 'symlink' || this.#request.kind === 'hardlink';
    const [path, to] = isLink ? [second ?? '', first] : [first, second];
    this.#desk.record({ operation: this.#operation.name, path, ...(to !== undefined && { to }), outcome });
  }
}

const OUTCOMES: Readonly<Record<number, string>> = {
  [STATUS.ok]: 'ok',
  [STATUS.noSuchFile]: 'no such file',
  [STATUS.permissionDenied]: 'permission denied by the server',
};

/** What records say of an answer. */
export function outcomeOf(answer: SftpResponse): string {
  return answer.kind === 'status' ? (OUTCOMES[answer.code] ?? 'failed on the server') : 'ok';
}

function directoryOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

function isExtension(kind: PathKind): kind is PathKind & keyof typeof EXTENSIONS {
  return kind in EXTENSIONS;
}

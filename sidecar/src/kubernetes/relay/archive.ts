import { Transfer, type FileCapture, type FileRecord } from '../../running/file-record.ts';
import { StreamError } from '../wire/index.ts';
import { type Member, type TarEvent, TarReader } from '../wire/tar.ts';
import type { Copy } from '../actions/index.ts';
import type { RequestRefusal } from './texts.ts';

export interface ArchiveOptions {
  readonly copy: Copy;
  readonly record: (record: FileRecord) => void;
  readonly capture: FileCapture | undefined;
}

const LEADS_OUT: RequestRefusal = {
  code: 'NeverAllowed',
  reason: 'the archive holds a name or a link that leads out of what is copied',
  detail: 'ArchivePath',
};
const NOT_A_FILE: RequestRefusal = {
  code: 'NoRuleAllows',
  reason: 'it is more than the one file that a rule names',
  detail: 'ArchivePath',
};
const NOTHING = Buffer.alloc(0);

/**
 * Looks into an archive as it passes, one way: each file in it is recorded, and nothing passes whose name or link leads out of what was
 * judged. What comes out of a pod and leads elsewhere by a link is left out, as kubectl leaves it out; into one it is refused.
 */
export class Archive {
  readonly way: 'toPod' | 'fromPod';
  readonly #o: ArchiveOptions;
  readonly #reader = new TarReader();
  #file: Transfer | undefined;
  #offset = 0n;
  /** Why nothing more of it may pass; set once. */
  refusal: RequestRefusal | undefined;

  constructor(options: ArchiveOptions) {
    this.#o = options;
    this.way = options.copy.verb === 'read' ? 'fromPod' : 'toPod';
  }

  /** What of it may pass by now. */
  push(data: Buffer): Buffer {
    if (this.refusal !== undefined) return NOTHING;
    const passed: Buffer[] = [];
    try {
      for (const event of this.#reader.push(data)) {
        passed.push(this.#pass(event));
        if (this.refusal !== undefined) break;
      }
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.refusal = { code: 'NotAnalysable', reason: `${error.message}; copy by kubectl cp`, detail: 'Archive' };
    }
    return Buffer.concat(passed);
  }

  /** It is over, whole or not. */
  close(): void {
    this.#end(this.refusal === undefined ? 'cut off' : 'denied');
  }

  #pass(event: TarEvent): Buffer {
    switch (event.kind) {
      case 'member':
        return this.#member(event.member) ? event.raw : NOTHING;
      case 'data':
        if (event.data.length > 0) this.#file?.pass(this.#offset, event.data);
        this.#offset += BigInt(event.data.length);
        return event.data;
      case 'over':
        this.#end('ok');
        return event.raw;
      default:
        return event.raw;
    }
  }

  /** Whether it passes. */
  #member(member: Member): boolean {
    const { copy, record, capture } = this.#o;
    const { kind } = member;
    const paths = member.names.map((name) => this.#pathOf(name));
    const path = paths.at(-1);
    if (path === undefined || paths.includes(undefined)) return this.#refuse(LEADS_OUT, undefined);
    const isInto = this.way === 'toPod';
    if (isInto && kind !== 'directory' && paths.includes(copy.path)) return this.#refuse(LEADS_OUT, path);
    if (copy.isOne === true && (kind !== 'file' || path !== copy.path)) return this.#refuse(NOT_A_FILE, path);
    if (kind === 'file') {
      this.#offset = 0n;
      this.#file = new Transfer(copy.verb, path, true, capture);
    } else if (kind !== 'directory') return this.#link(member, paths as string[]);
    else if (isInto) record({ operation: 'mkdir', path, outcome: 'ok' });
    return true;
  }

  #link({ kind, targets }: Member, paths: readonly string[]): boolean {
    const path = paths.at(-1) ?? '';
    const isWithin = paths.every((each) => targets.every((target) => this.#isWithin(kind, each, target)));
    if (!isWithin && this.way === 'toPod') return this.#refuse(LEADS_OUT, path);
    const operation = kind === 'symlink' ? 'symlink' : 'link';
    this.#o.record({ operation, path, to: targets.at(-1) ?? '', outcome: isWithin ? 'ok' : 'denied' });
    return isWithin;
  }

  /** Where a member lies in the pod; undefined: elsewhere than it may. */
  #pathOf(name: string): string | undefined {
    const { copy } = this.#o;
    const isUpload = this.way === 'toPod';
    const parts = partsOf(name);
    if (parts === undefined || (isUpload && name.startsWith('/'))) return undefined;
    const path = isUpload ? joined(copy.path, parts) : `/${parts.join('/')}`;
    return isBelow(path, copy.path) ? path : undefined;
  }

  /** A hard link means the same file; one by path is read from where it lies. */
  #isWithin(kind: Member['kind'], path: string, target: string): boolean {
    const { copy } = this.#o;
    // In a pod it may be another name of a link, which leads elsewhere from there. kubectl sends none.
    if (kind === 'link') return this.way === 'fromPod' && this.#pathOf(target) !== undefined;
    if (target.startsWith('/')) return false;
    const parts = target.split('/').filter((each) => each !== '' && each !== '.');
    // Behind another link it may come out elsewhere, so that it leads back at its beginning or nowhere.
    const back = parts.findIndex((part) => part !== '..');
    const names = parts.slice(back);
    // No higher than where the link is: `k -> .` would make `k/k/k/up -> ../../..` look as if it stayed within.
    if (back < 0 || names.includes('..') || names.length <= back) return false;
    const directory = path.slice(1).split('/').slice(0, -1);
    return (
      back <= directory.length && isBelow(`/${[...directory.slice(0, directory.length - back), ...names].join('/')}`, copy.path)
    );
  }

  #refuse(refusal: RequestRefusal, path: string | undefined): false {
    this.refusal = refusal;
    if (path !== undefined) this.#o.record({ operation: this.#o.copy.verb, path, outcome: 'denied' });
    return false;
  }

  #end(outcome: string): void {
    if (this.#file === undefined) return;
    this.#o.record(this.#file.record(outcome));
    this.#file = undefined;
  }
}

/** Undefined: it goes back somewhere. */
function partsOf(name: string): string[] | undefined {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : parts;
}

function joined(directory: string, parts: readonly string[]): string {
  return parts.length === 0 ? directory : `${directory === '/' ? '' : directory}/${parts.join('/')}`;
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || directory === '/' || path.startsWith(`${directory}/`);
}

import { createHash } from 'node:crypto';
import {
  ApiError,
  DataKey,
  DataKeyInfo,
  GivenOrder,
  type OrderRequest,
  RecordPage,
  SessionDetail,
  SessionList,
  type SessionRecord,
  SinkList,
  SinkResent,
  type Trust,
} from '@chaperone/evidence';
import type { Code } from '@chaperone/api/codes';
import type { z } from 'zod';
import { CliError, EXIT } from '../errors.ts';
import type { Transport } from './transport.ts';

export type { Transport } from './transport.ts';

/** What to export: one session, or what came in a time (ms since 1970). `since` is the size of a checkpoint that was kept; `wrapped`: keys as they were wrapped. */
export type ExportQuery = { readonly since?: number; readonly wrapped?: boolean } & (
  | { readonly session: string }
  | { readonly from: number; readonly to: number }
);

export interface SessionFilter {
  readonly namespace?: string;
  readonly agent?: string;
  readonly resource?: string;
  readonly person?: string;
  readonly since?: number;
  readonly limit?: number;
}

const PAGE = 500;
/** The collector lists at most so many at once. */
const LIST_PAGE = 1000;

/** The collector's API as commands use it. Throws CliError. */
export class CollectorClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The first `limit` sessions, which may be Infinity, page by page; fewer and `truncated` from a collector that has no pages. */
  async list({ limit = LIST_PAGE, ...filter }: SessionFilter): Promise<Omit<SessionList, 'next'>> {
    const { next, ...first } = await this.#page({ ...filter, limit: Math.min(limit, LIST_PAGE) });
    const items = [...first.items];
    let { truncated } = first;
    for (let after = next; truncated && after !== undefined && items.length < limit; ) {
      const page: SessionList = await this.#page({ ...filter, limit: Math.min(limit - items.length, LIST_PAGE), after });
      for (const item of page.items) items.push(item);
      ({ truncated, next: after } = page);
    }
    return { ...first, items, truncated };
  }

  #page(asked: SessionFilter & { readonly after?: string }): Promise<SessionList> {
    const query = new URLSearchParams(
      Object.entries(asked).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    );
    return this.#json(`/v1/sessions?${query.toString()}`, SessionList);
  }

  session(id: string): Promise<SessionDetail> {
    return this.#json(`/v1/sessions/${encodeURIComponent(id)}`, SessionDetail);
  }

  records(id: string): AsyncGenerator<SessionRecord> {
    return this.#pages(id, 'records');
  }

  /** Records without results and streams, and of each command its beginning. */
  outline(id: string): AsyncGenerator<SessionRecord> {
    return this.#pages(id, 'outline');
  }

  async *#pages(id: string, of: 'records' | 'outline'): AsyncGenerator<SessionRecord> {
    for (let from: number | undefined = 0; from !== undefined; ) {
      const path = `/v1/sessions/${encodeURIComponent(id)}/${of}?from=${from}&limit=${PAGE}`;
      const page: RecordPage = await this.#json(path, RecordPage);
      yield* page.items;
      from = page.next;
    }
  }

  /** All that is stored of one session, as an evidence file has it. */
  sessionEvidence(id: string): Promise<AsyncIterable<Uint8Array>> {
    return this.#bytes(`/v1/sessions/${encodeURIComponent(id)}/evidence`);
  }

  /** An evidence file. Iterating throws CliError CollectorUnreachable where its end does not come. */
  evidence(asked: ExportQuery): Promise<AsyncIterable<Uint8Array>> {
    const query = Object.entries(asked).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
    return this.#bytes(`/v1/evidence?${new URLSearchParams(query).toString()}`);
  }

  async #bytes(path: string): Promise<AsyncIterable<Uint8Array>> {
    const { body } = await this.#get(path);
    return body === null ? unreadableBytes() : reading(body);
  }

  /** The key that reads a session's segments; undefined where it was destroyed. */
  async dataKey(id: string): Promise<DataKey | undefined> {
    try {
      const { session, key } = await this.#json(`/v1/sessions/${encodeURIComponent(id)}/key`, DataKeyInfo);
      return new DataKey(session, Buffer.from(key, 'base64url'));
    } catch (error) {
      if (error instanceof CliError && error.code === 'EvidenceErased') return undefined;
      throw error;
    }
  }

  /** Erases a session, or puts it on hold or takes it off; resolves when that is in the log and done. */
  async order(id: string, order: OrderRequest): Promise<GivenOrder> {
    const body = JSON.stringify(order);
    const digest = createHash('sha256').update(body).digest('hex');
    return this.#json(`/v1/sessions/${encodeURIComponent(id)}/orders?body=${digest}`, GivenOrder, body);
  }

  /** How far the sinks are. */
  sinks(): Promise<SinkList> {
    return this.#json('/v1/sinks', SinkList);
  }

  /** Sends a sink's dead letters again. */
  resendSink(name: string): Promise<SinkResent> {
    return this.#json(`/v1/sinks/${encodeURIComponent(name)}/resend`, SinkResent, '{}');
  }

  /** The key of the log, as C2SP signed-note writes keys. */
  async logKey(): Promise<string> {
    return (await this.#get('/v1/log/key')).text();
  }

  /** The newest checkpoint, a signed note. */
  async logCheckpoint(): Promise<Buffer> {
    return Buffer.from(await (await this.#get('/v1/log/checkpoint')).arrayBuffer());
  }

  /** A tile or bundle by its path; undefined where the log has none. */
  async logTile(path: string): Promise<Buffer | undefined> {
    try {
      return Buffer.from(await (await this.#get(`/v1/log/${path}`)).arrayBuffer());
    } catch (error) {
      if (error instanceof CliError && error.exit === EXIT.notFound) return undefined;
      throw error;
    }
  }

  trust(): Promise<Trust> {
    return this.#transport.trust();
  }

  async #json<T>(path: string, schema: z.ZodType<T>, body?: string): Promise<T> {
    const response = await this.#get(path, body);
    try {
      return schema.parse(await response.json());
    } catch (error) {
      throw unreadable(error);
    }
  }

  async #get(path: string, body?: string): Promise<Response> {
    const response = await this.#transport.fetch(path, body);
    if (response.ok) return response;
    const said = ApiError.safeParse(await response.json().catch(() => undefined));
    throw said.success
      ? refusal(said.data)
      : new CliError('CollectorUnreachable', `the collector answers ${response.status}`, { exit: EXIT.unreachable });
  }
}

async function* reading(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError('CollectorUnreachable', 'the collector ended its answer early', { cause, exit: EXIT.unreachable });
  }
}

function unreadableBytes(): never {
  throw unreadable(undefined);
}

function unreadable(cause: unknown): CliError {
  return new CliError('CollectorUnreachable', 'the collector answers in a form that this client does not know', {
    cause,
    exit: EXIT.unreachable,
  });
}

/** What the collector says, in the words and exit codes of the command line. */
const REFUSALS = {
  BadRequest: ['Usage', EXIT.usage],
  NotSignedIn: ['NotSignedIn', EXIT.notPermitted],
  Forbidden: ['NotPermitted', EXIT.notPermitted],
  NotFound: ['NotFound', EXIT.notFound],
  AmbiguousName: ['AmbiguousName', EXIT.usage],
  LinkUnusable: ['NotSignedIn', EXIT.notPermitted],
  EvidenceAltered: ['EvidenceAltered', EXIT.checkSaysNo],
  EvidenceIncomplete: ['EvidenceIncomplete', EXIT.incomplete],
  EvidenceErased: ['EvidenceErased', EXIT.checkSaysNo],
  OrderRefused: ['OrderRefused', EXIT.tooLate],
  ReadNotRecorded: ['ReadNotRecorded', EXIT.unreachable],
  TooManyReads: ['TooManyReads', EXIT.tooLate],
  Unavailable: ['CollectorUnreachable', EXIT.unreachable],
} as const satisfies Record<ApiError['code'], readonly [Code, number]>;

function refusal({ code, message, matches = [] }: ApiError): CliError {
  const [own, exit] = REFUSALS[code];
  const fix = code === 'EvidenceAltered' ? { fix: ['chaperone verify ID names the first record that does not match'] } : {};
  return new CliError(own, matches.length === 0 ? message : `${message}: ${matches.join(', ')}`, { exit, ...fix });
}

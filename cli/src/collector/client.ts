import {
  ApiError,
  readBundle,
  RecordPage,
  SessionDetail,
  SessionList,
  type SessionRecord,
  type Trust,
} from '@chaperone/evidence';
import { z } from 'zod';
import { CliError, EXIT } from '../errors.ts';

/** How requests reach a collector, and whom to trust for what it holds. */
export interface Transport extends AsyncDisposable {
  /** A GET of a path below the collector's root. */
  fetch(path: string): Promise<Response>;
  /** The log's origin and the enrolment keys, from where the collector cannot change them. */
  trust(): Promise<Trust>;
}

export interface SessionFilter {
  readonly namespace?: string;
  readonly agent?: string;
  readonly resource?: string;
  readonly since?: number;
  readonly limit?: number;
}

const PAGE = 500;

/** The collector's API as commands use it. Throws CliError. */
export class CollectorClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(filter: SessionFilter): Promise<SessionList> {
    const query = new URLSearchParams(
      Object.entries(filter).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    );
    return this.#json(`/v1/sessions?${query}`, SessionList);
  }

  session(id: string): Promise<SessionDetail> {
    return this.#json(`/v1/sessions/${encodeURIComponent(id)}`, SessionDetail);
  }

  async *records(id: string): AsyncGenerator<SessionRecord> {
    for (let from: number | undefined = 0; from !== undefined; ) {
      const page: RecordPage = await this.#json(
        `/v1/sessions/${encodeURIComponent(id)}/records?from=${from}&limit=${PAGE}`,
        RecordPage,
      );
      yield* page.items;
      from = page.next;
    }
  }

  /** The segments as they are stored, in order. */
  async segments(id: string): Promise<Buffer[]> {
    const response = await this.#get(`/v1/sessions/${encodeURIComponent(id)}/segments`);
    return readBundle(await response.text()).entries.map((entry) => entry.segment);
  }

  trust(): Promise<Trust> {
    return this.#transport.trust();
  }

  async #json<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    const response = await this.#get(path);
    const parsed = schema.safeParse(await response.json());
    if (!parsed.success)
      throw new CliError('CollectorUnreachable', 'the collector answers in a form that this client does not know', {
        exit: EXIT.unreachable,
      });
    return parsed.data;
  }

  async #get(path: string): Promise<Response> {
    const response = await this.#transport.fetch(path);
    if (response.ok) return response;
    const said = ApiError.safeParse(await response.json().catch(() => undefined));
    const message = said.success ? said.data.message : `the collector answers ${response.status}`;
    if (response.status === 404) throw new CliError('NotFound', message, { exit: EXIT.notFound });
    if (response.status === 401 || response.status === 403)
      throw new CliError('NotPermitted', message, { exit: EXIT.notPermitted });
    if (response.status === 400 || response.status === 409) {
      const matches =
        said.success && said.data.matches !== undefined ? said.data.matches.map((each) => `type more: ${each}`) : [];
      throw new CliError('Usage', message, { exit: EXIT.usage, fix: matches });
    }
    throw new CliError('CollectorUnreachable', message, { exit: EXIT.unreachable });
  }
}

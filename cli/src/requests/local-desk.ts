import { AccessRequest, ApprovalDecision } from '@chaperone/api';
import { CODES, type Code } from '@chaperone/api/codes';
import { z } from 'zod';
import { boundedLines } from '../commands/lines.ts';
import { CliError, EXIT } from '../errors.ts';
import { readAddress } from '../up/data-directory.ts';
import {
  type Answer,
  fits,
  only,
  type Person,
  RequestContent,
  type RequestDesk,
  type RequestFilter,
  type SessionEnd,
} from './desk.ts';
import { localPerson, type Played } from './local-person.ts';

/** A request is at most some 100 KiB: 8 KiB of text, 64 effects, values and rules. */
const MAX_EVENT_BYTES = 1024 * 1024;

const List = z.object({ items: z.array(AccessRequest) });
const Ended = z.object({ session: z.string(), ended: z.boolean() });
const Answered = z.object({ decision: ApprovalDecision });
const Said = z.object({ code: z.string(), message: z.string() });

/** What `chaperone up` says, with the exit code that it has here. */
const EXITS: Partial<Record<Code, number>> = {
  Usage: EXIT.usage,
  NotSignedIn: EXIT.notPermitted,
  NotPermitted: EXIT.notPermitted,
  NotFound: EXIT.notFound,
  AlreadyDecided: EXIT.tooLate,
  RequestExpired: EXIT.tooLate,
  SessionOver: EXIT.tooLate,
  DigestMismatch: EXIT.checkSaysNo,
};

export interface LocalDeskOptions {
  readonly data: string;
  readonly played?: Played | undefined;
}

/** Requests of the `chaperone up` that runs with the data directory. Throws CliError CollectorUnreachable; so do its methods. */
export async function openLocalDesk({ data, played }: LocalDeskOptions): Promise<RequestDesk> {
  const address = await readAddress(data);
  if (address !== undefined) return new LocalDesk(address, played);
  throw new CliError('CollectorUnreachable', `no chaperone up runs with --data ${data}, and requests end with it`, {
    exit: EXIT.unreachable,
    fix: ['chaperone up --manifests DIR --agent NAMESPACE/SERVICEACCOUNT', 'or name its data directory with --data'],
  });
}

class LocalDesk implements RequestDesk {
  readonly namespace = undefined;
  readonly place: string;
  readonly #url: string;
  readonly #token: string;
  readonly #played: Played | undefined;

  constructor({ url, token }: { url: string; token: string }, played: Played | undefined) {
    this.place = `chaperone up at ${url}`;
    this.#url = url;
    this.#token = token;
    this.#played = played;
  }

  async list(filter: RequestFilter): Promise<AccessRequest[]> {
    const { items } = await this.#json(List, '/v1/requests');
    return items.filter((request) => fits(request, filter));
  }

  async get(name: string, namespace?: string): Promise<AccessRequest> {
    return only(name, await this.list({ namespace }), `at ${this.place}`);
  }

  content({ metadata }: AccessRequest): Promise<RequestContent> {
    return this.#json(RequestContent, `${pathOf(metadata)}/content`);
  }

  person(request: AccessRequest): Promise<Person> {
    return Promise.resolve(localPerson(request, this.#played));
  }

  async decide({ request, decision, reason, grantFor }: Answer): Promise<ApprovalDecision> {
    const { metadata, spec } = request;
    const body = {
      requestUid: metadata.uid,
      digest: spec.digest,
      decision,
      ...(reason !== undefined && { reason }),
      ...(grantFor !== undefined && { grantFor }),
      ...(this.#played !== undefined && { as: this.#played }),
    };
    return (await this.#json(Answered, `${pathOf(metadata)}/decisions`, body)).decision;
  }

  async endSession(session: string, reason: string): Promise<SessionEnd> {
    const body = { session, reason, ...(this.#played !== undefined && { as: this.#played }) };
    const { ended } = await this.#json(Ended, '/v1/kills', body);
    return { ended };
  }

  async *watch({ namespace, name }: Omit<RequestFilter, 'states'>, signal: AbortSignal): AsyncGenerator<AccessRequest> {
    try {
      const response = await this.#fetch('/v1/requests?watch=1', { signal });
      const chunks = response.body as unknown as AsyncIterable<Buffer>;
      let event = '';
      for await (const line of boundedLines(chunks, MAX_EVENT_BYTES)) {
        if (line.kind === 'bad') throw unknownForm();
        if (line.text.startsWith('event: ')) event = line.text.slice('event: '.length);
        if (event !== 'request' || !line.text.startsWith('data: ')) continue;
        const request = read(AccessRequest, line.text.slice('data: '.length));
        if (fits(request, { namespace, name })) yield request;
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof CliError ? error : this.#unreachable(error);
    }
    if (!signal.aborted) throw this.#unreachable();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #json<T>(schema: z.ZodType<T>, path: string, body?: unknown): Promise<T> {
    const response = await this.#fetch(path, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) });
    return read(schema, await response.text().catch((error: unknown) => Promise.reject(this.#unreachable(error))));
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' };
    const response = await fetch(`${this.#url}${path}`, { ...init, headers }).catch((error: unknown) => {
      throw this.#unreachable(error);
    });
    if (response.ok) return response;
    const said = Said.safeParse(await response.json().catch(() => undefined)).data;
    const code = said?.code as Code | undefined;
    const exit = code === undefined || !Object.hasOwn(CODES, code) ? undefined : EXITS[code];
    if (said === undefined || code === undefined || exit === undefined)
      throw new CliError('CollectorUnreachable', `${this.place} answers ${response.status}`, { exit: EXIT.unreachable });
    throw new CliError(code, said.message, {
      exit,
      fix: code === 'NotFound' ? ['chaperone sessions ls', 'chaperone requests ls'] : [],
    });
  }

  #unreachable(cause?: unknown): CliError {
    return new CliError('CollectorUnreachable', `${this.place} does not answer any more; requests end with it`, {
      cause,
      exit: EXIT.unreachable,
      fix: ['chaperone up --manifests DIR --agent NAMESPACE/SERVICEACCOUNT'],
    });
  }
}

function pathOf({ namespace = '', name }: AccessRequest['metadata']): string {
  return `/v1/requests/${encodeURIComponent(namespace)}/${name}`;
}

function read<T>(schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw unknownForm(error);
  }
}

function unknownForm(cause?: unknown): CliError {
  return new CliError('CollectorUnreachable', 'chaperone up answers in a form that this client does not know', {
    cause,
    exit: EXIT.unreachable,
  });
}

import { setTimeout as delay } from 'node:timers/promises';
import { AccessRequest, API_VERSION, ApprovalDecision, SessionKill, visible } from '@chaperone/api';
import { groupsNamed, newestFirst } from '@chaperone/api/requests';
import { z } from 'zod';
import { ApiServer, ApiStatusError, isStatus } from '../cluster/api-server.ts';
import { type Environment, loadKubeconfig } from '../cluster/kubeconfig.ts';
import type { ClusterFlags } from '../collector/transport.ts';
import { CliError, EXIT } from '../errors.ts';
import { listObjects, pathOf, refused } from './cluster-objects.ts';
import {
  type Answer,
  decisionName,
  END_WAIT_MS,
  fits,
  isWhole,
  only,
  type Person,
  type RequestDesk,
  type RequestFilter,
  type SessionEnd,
} from './desk.ts';

/** A watch ends after so long and is begun again where it was, s. */
const WATCH_SECONDS = 300;
const RETRY_MS = 1_000;
const END_CHECK_MS = 200;
/** Of one person and kind on a request: those before did not count. */
const MAX_ANSWERS = 4;
/** In a row, without an event between them. */
const MAX_FAILURES = 3;
const GONE = 410;

type Watched = Omit<RequestFilter, 'states'>;

/** Where a watch goes on. */
interface Cursor {
  version: string;
  failures: number;
}

const Review = z.object({
  status: z.object({ userInfo: z.object({ username: z.string().min(1), groups: z.array(z.string()).default([]) }) }),
});
const WatchEvent = z.object({
  type: z.string(),
  object: z.looseObject({ metadata: z.looseObject({ resourceVersion: z.string().optional() }).optional() }),
});
type WatchEvent = z.infer<typeof WatchEvent>;
const WatchFault = z.object({ code: z.int().default(500), reason: z.string().default(''), message: z.string().default('') });

/** Requests of a cluster, answered by whom the kubeconfig says. Throws CliError NoContext, Usage; its methods others too. */
export function openClusterDesk(flags: ClusterFlags, env: Environment): RequestDesk {
  return new ClusterDesk(new ApiServer(loadKubeconfig(flags, env)), flags.as !== undefined);
}

class ClusterDesk implements RequestDesk {
  readonly namespace: string;
  readonly place: string;
  readonly #api: ApiServer;
  readonly #isImpersonated: boolean;
  #person: Promise<Person> | undefined;

  constructor(api: ApiServer, isImpersonated: boolean) {
    this.namespace = api.access.namespace;
    this.place = `context ${api.access.context}`;
    this.#api = api;
    this.#isImpersonated = isImpersonated;
  }

  async list(filter: RequestFilter): Promise<AccessRequest[]> {
    return newestFirst((await this.#list(filter)).items);
  }

  async get(name: string, namespace = this.namespace): Promise<AccessRequest> {
    const where = `in namespace ${namespace} of ${this.place}`;
    if (!isWhole(name)) return only(name, await this.list({ namespace }), where);
    try {
      const path = `${pathOf(namespace, 'accessrequests')}/${name}`;
      return requestIn(await this.#api.request(z.unknown(), { path }), this.#api);
    } catch (error) {
      // Nobody may be told apart from nothing: the group itself is asked for by the list.
      if (isStatus(error, 404)) return only(name, await this.list({ namespace }), where);
      throw refused(this.#api, error, `get requests of namespace ${namespace}`);
    }
  }

  /** Rows are kept in no object of the API server. */
  content(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  person(): Promise<Person> {
    this.#person ??= this.#review();
    return this.#person;
  }

  async decide({ request, decision, reason, grantFor }: Answer): Promise<ApprovalDecision> {
    const { metadata, spec } = request;
    const namespace = metadata.namespace ?? this.namespace;
    const { user, groups } = await this.person();
    const named = groupsNamed(request);
    const first = decisionName(request, user, decision);
    const answer = {
      request: metadata.name,
      requestUid: metadata.uid,
      digest: spec.digest,
      decision,
      by: user,
      groups: groups.filter((group) => named.includes(group)),
      ...(reason !== undefined && { reason }),
      ...(grantFor !== undefined && { grantFor }),
    };
    for (let time = 1; ; time++) {
      const name = time === 1 ? first : `${first}-${time}`;
      const { given, isNew } = await this.#give({ name, namespace }, answer);
      if (isNew) return given;
      // A double press: what is there is the same answer by the same person, since the name says so and admission the author.
      const { by, decision: there, requestUid } = given.spec;
      if (by !== user || there !== decision || requestUid !== metadata.uid)
        throw new CliError('DigestMismatch', `${name} is another answer than yours; yours was not given`, {
          exit: EXIT.checkSaysNo,
        });
      // One that did not count, such as for want of a reason, does not stand in the way of one that does.
      if (given.status?.counted !== false || time === MAX_ANSWERS) return given;
    }
  }

  /** Writes an answer, or reads the one that is there under its name. */
  async #give(at: { name: string; namespace: string }, spec: object): Promise<{ given: ApprovalDecision; isNew: boolean }> {
    const path = pathOf(at.namespace, 'approvaldecisions');
    const body = { apiVersion: API_VERSION, kind: 'ApprovalDecision', metadata: at, spec };
    try {
      return { given: await this.#api.request(ApprovalDecision, { method: 'POST', path, body }), isNew: true };
    } catch (error) {
      const isThere = error instanceof ApiStatusError && error.status === 409 && error.reason === 'AlreadyExists';
      if (!isThere) throw refused(this.#api, error, `answer requests of namespace ${at.namespace}`);
    }
    const given = await this.#api
      .request(ApprovalDecision, { path: `${path}/${at.name}` })
      .catch((error: unknown) => Promise.reject(refused(this.#api, error, `read answers of namespace ${at.namespace}`)));
    return { given, isNew: false };
  }

  async endSession(session: string, reason: string): Promise<SessionEnd> {
    const { namespace } = this;
    const { user } = await this.person();
    const metadata = { generateName: `${session}-`, namespace };
    const body = { apiVersion: API_VERSION, kind: 'SessionKill', metadata, spec: { session, reason, by: user } };
    const path = pathOf(namespace, 'sessionkills');
    const made = await this.#api.request(SessionKill, { method: 'POST', path, body }).catch((error: unknown) => {
      throw refused(this.#api, error, `end sessions of namespace ${namespace}`);
    });
    return await this.#ended(made, `${path}/${made.metadata.name}`);
  }

  /** It is asked for by now: that its end cannot be seen is no failure of that. */
  async #ended(made: SessionKill, path: string): Promise<SessionEnd> {
    let kill = made;
    try {
      for (const until = performance.now() + END_WAIT_MS; performance.now() < until; ) {
        kill = await this.#api.request(SessionKill, { path });
        if (kill.status?.endedAt !== undefined) return { ended: true, kill };
        await delay(END_CHECK_MS);
      }
    } catch (error) {
      if (!(error instanceof CliError || error instanceof ApiStatusError)) throw error;
    }
    return { ended: false, kill };
  }

  async *watch({ namespace, name }: Watched, signal: AbortSignal): AsyncGenerator<AccessRequest> {
    while (!signal.aborted) {
      const { items, version } = await this.#list({ namespace, name });
      yield* newestFirst(items).toReversed();
      yield* this.#changes({ namespace, name }, version, signal);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#api[Symbol.dispose]();
    return Promise.resolve();
  }

  /** From a version on, until the API server has forgotten it. A watch that breaks is begun again where it was. */
  async *#changes(watched: Watched, version: string, signal: AbortSignal): AsyncGenerator<AccessRequest> {
    const at: Cursor = { version, failures: 0 };
    while (!signal.aborted) {
      try {
        yield* this.#events(watched, at, signal);
      } catch (error) {
        if (signal.aborted || isStatus(error, GONE)) return;
        if (error instanceof ApiStatusError) throw refused(this.#api, error, 'watch requests');
        if (!(error instanceof CliError) || error.exit !== EXIT.unreachable || ++at.failures > MAX_FAILURES) throw error;
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** One watch, to its end. */
  async *#events({ namespace, name }: Watched, at: Cursor, signal: AbortSignal): AsyncGenerator<AccessRequest> {
    const query = {
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion: at.version,
      timeoutSeconds: String(WATCH_SECONDS),
      ...selectorOf(name),
    };
    for await (const line of this.#api.lines({ path: pathOf(namespace, 'accessrequests'), query }, signal)) {
      const event = eventIn(line, this.#api);
      if (event.type === 'ERROR') throw faultOf(event);
      at.failures = 0;
      at.version = event.object.metadata?.resourceVersion ?? at.version;
      if (event.type === 'ADDED' || event.type === 'MODIFIED') yield requestIn(event.object, this.#api);
    }
  }

  async #list(filter: RequestFilter): Promise<{ items: AccessRequest[]; version: string }> {
    const { namespace, name } = filter;
    const { items, version } = await listObjects(this.#api, { plural: 'accessrequests', namespace, query: selectorOf(name) });
    return { items: items.map((item) => requestIn(item, this.#api)).filter((request) => fits(request, filter)), version };
  }

  /** As the API server sees us, impersonation included: admission compares with exactly this. */
  async #review(): Promise<Person> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const { status } = await this.#api.request(Review, { method: 'POST', path, body }).catch((error: unknown) => {
      throw refused(this.#api, error, 'ask who they are');
    });
    const { username, groups } = status.userInfo;
    return { user: username, groups, ...(this.#isImpersonated && { note: 'impersonated' }) };
  }
}

function selectorOf(name: string | undefined): Record<string, string> {
  return name === undefined ? {} : { fieldSelector: `metadata.name=${name}` };
}

/** The API server leaves kind and version out of what it lists. */
function requestIn(item: unknown, api: ApiServer): AccessRequest {
  const parsed = AccessRequest.safeParse({ apiVersion: API_VERSION, kind: 'AccessRequest', ...(item as object) });
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') ?? '';
  throw api.unreachable(`it has an AccessRequest that this client does not know how to read (${field})`, parsed.error);
}

/** A watch ends with a Status as its last event where it cannot go on. */
function faultOf({ object }: WatchEvent): ApiStatusError {
  const { code, reason, message } = WatchFault.parse(object);
  return new ApiStatusError(code, reason, visible(message, 300));
}

function eventIn(line: string, api: ApiServer): WatchEvent {
  try {
    return WatchEvent.parse(JSON.parse(line));
  } catch (error) {
    throw api.unreachable('its watch is not one of the Kubernetes API', error);
  }
}

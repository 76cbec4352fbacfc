import {
  type ApiError,
  type DataKeyInfo,
  EvidenceError,
  type EvidenceLedger,
  type GivenOrder,
  type HeldAnswer,
  MAX_HELD,
  type Member,
  type Reading,
  OrderRequest,
  SESSION_ID,
  parseNote,
  SESSION_ID_PREFIX,
  SessionVerdictFilter,
  type TrustInfo,
  writeEvidence,
} from '@chaperone/evidence';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { Access, Identity, Verb } from './access.ts';
import { parseSearch } from './evidence-index/commands.ts';
import type { ListPlace, SessionFilter } from './evidence-index/evidence-index.ts';
import type { SessionRow } from './evidence-index/schema.ts';
import type { BrowserSession } from './console/browser-sessions.ts';
import type { Exporter } from './export.ts';
import type { Logger } from './ingest.ts';
import type { Published } from './log/receipts.ts';
import { logRoutes, type LogRoutesOptions } from './log/routes.ts';
import { NothingToExport } from './nothing-to-export.ts';
import { sha256 } from './objects/index.ts';
import { policyRoutes } from './policies/routes.ts';
import { OrderError, type Orders } from './orders/orders.ts';
import type { PolicySource } from './policies/source.ts';
import { ReadingError, type Readings } from './readings/readings.ts';
import { requestRoutes } from './requests/routes.ts';
import type { RequestSource } from './requests/source.ts';
import type { Sessions } from './sessions.ts';
import { sinkRoutes } from './sinks/routes.ts';
import type { Sinks } from './sinks/sinks.ts';

const MAX_LIST = 1000;
const MAX_RECORDS = 1000;
/** Orders, and sessions with gaps, of one answer. */
const MAX_LEDGER = 200;
const MAX_BODY_BYTES = 8192;

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const atMost = (most: number, otherwise: number) => z.coerce.number().int().min(1).max(most).default(otherwise);
/** What a list gives as `next`. */
const Place = z
  .string()
  .regex(/^[-+.e\d]{1,32},s-[a-z2-7]{16}$/)
  .transform((text) => ({ startedAt: Number(text.slice(0, text.indexOf(','))), session: text.slice(text.indexOf(',') + 1) }))
  // A pod's clock may say anything; what a list gave is taken again.
  .refine(({ startedAt }) => Number.isFinite(startedAt));
const FILTER = {
  namespace: z.string().regex(NAME).optional(),
  agent: z.string().regex(NAME).optional(),
  resource: z
    .string()
    .regex(/^[^/]+\/[^/]+$/)
    .optional(),
  since: z.coerce.number().min(0).optional(),
  until: z.coerce.number().min(0).optional(),
  verdict: SessionVerdictFilter.optional(),
  /** As a token named them, whoever issued it. */
  person: z.string().min(1).max(256).optional(),
  limit: atMost(MAX_LIST, 100),
  after: Place.optional(),
};
const ListQuery = z.strictObject(FILTER);
/** Words stay out of addresses, which logs and histories keep. */
const SearchBody = z.strictObject({ ...FILTER, text: z.string().min(1).max(500) });
const place = z.coerce.number().int().min(0);
const StreamQuery = z.strictObject({ action: place, from: place.default(0) });
/** Keys as they were wrapped leave with who may export, whoever may replay. */
const wrapped = z
  .literal('true')
  .transform(() => true)
  .optional();
const EvidenceQuery = z.strictObject({ since: place.optional() });
const time = z.coerce.number().min(0);
const ExportQuery = z.union([
  EvidenceQuery.extend({ session: z.string(), wrapped }),
  EvidenceQuery.extend({ from: time, to: time, wrapped }).refine(({ from, to }) => from < to),
]);
const HeldQuery = z.strictObject({ session: z.array(z.string().regex(SESSION_ID)).min(1).max(MAX_HELD) });
const RecordsQuery = z.strictObject({
  from: place.default(0),
  limit: atMost(MAX_RECORDS, 200),
});

export interface ApiOptions {
  readonly sessions: Sessions;
  readonly exporter: Exporter;
  readonly orders: Pick<Orders, 'give'>;
  readonly readings: Pick<Readings, 'note'>;
  readonly sinks: Sinks;
  /** The log that every stored segment is in, and the key that signs its checkpoints. */
  readonly log: Pick<LogRoutesOptions, 'log' | 'published' | 'key'>;
  readonly access: Access;
  readonly origin: string;
  readonly logger: Logger;
  /** What is not ready yet, as a sentence; undefined when everything is. */
  readonly notReady: () => string | undefined;
  readonly metrics: () => Promise<string>;
  readonly requests?: RequestSource | undefined;
  readonly policies?: PolicySource | undefined;
  readonly now: () => number;
}

type ReadOf = Pick<Reading, 'session' | 'way' | 'period'>;

class Refused extends Error {
  readonly status: 400 | 401 | 403 | 404 | 409;
  readonly body: ApiError;
  constructor(status: Refused['status'], body: ApiError) {
    super(body.message);
    this.status = status;
    this.body = body;
  }
}

type Env = { Variables: { identity: Identity }; Bindings: { signedIn?: BrowserSession } };

/**
 * The collector's HTTP API; its shapes are in @chaperone/evidence. Everything below /v1 but /v1/held wants a person who may
 * see it: `signedIn` of the environment, whom the console's door knows, or whom `access` finds. */
export function createApi(options: ApiOptions): Hono<Env> {
  const { sessions, exporter, access, logger } = options;
  const api = new Hono<Env>();

  const find = async (context: Context<Env>, verb: Verb, name = context.req.param('id') ?? ''): Promise<SessionRow> => {
    if (!SESSION_ID_PREFIX.test(name))
      throw new Refused(400, { code: 'BadRequest', message: 'this is not the name of a session' });
    const identity = context.get('identity');
    const visible: SessionRow[] = [];
    // What somebody may not see is not there: neither its name nor the ambiguity of one may tell of it.
    for (const row of await sessions.matching(name)) if (await access.allowed(identity, 'get', row.namespace)) visible.push(row);
    const [row, ...others] = visible;
    if (row === undefined) throw new Refused(404, { code: 'NotFound', message: `no session ${name} that you may see` });
    if (others.length > 0)
      throw new Refused(409, {
        code: 'AmbiguousName',
        message: `${name} fits more than one session; type more of it`,
        matches: visible.slice(0, 10).map((each) => each.session),
      });
    if (verb !== 'get' && !(await access.allowed(identity, verb, row.namespace)))
      throw new Refused(403, { code: 'Forbidden', message: `you may not ${verb} sessions of namespace ${row.namespace}` });
    return row;
  };

  /** Where the person may do all of it; every namespace unless one is asked for. */
  const namespaces = async (identity: Identity, verbs: readonly Verb[], asked?: string): Promise<string[]> => {
    const found: string[] = [];
    for (const namespace of asked === undefined ? await sessions.namespaces() : [asked]) {
      const may = await Promise.all(verbs.map((verb) => access.allowed(identity, verb, namespace)));
      if (may.every(Boolean)) found.push(namespace);
    }
    if (asked !== undefined && found.length === 0)
      throw new Refused(403, { code: 'Forbidden', message: `you may not ${verbs.join(' and ')} sessions of namespace ${asked}` });
    return found;
  };

  /** What was recorded is given to somebody once the log says that they read it, and of what is not given it says nothing. */
  const given = async <T>(context: Context<Env>, what: ReadOf, found: Promise<T>): Promise<T> => {
    const answer = await found;
    await options.readings.note(context.get('identity').user, what);
    return answer;
  };

  api.onError((error, context) => {
    if (error instanceof OrderError) return context.json<ApiError>({ code: 'OrderRefused', message: error.message }, 409);
    if (error instanceof ReadingError)
      return context.json<ApiError>({ code: error.code, message: error.message }, error.code === 'TooManyReads' ? 429 : 503);
    if (error instanceof Refused) return context.json(error.body, error.status);
    if (error instanceof NothingToExport)
      return context.json<ApiError>({ code: error.code, message: error.message }, error.code === 'NotFound' ? 404 : 400);
    if (error instanceof EvidenceError) {
      if (error.code === 'Erased') return context.json<ApiError>({ code: 'EvidenceErased', message: error.message }, 410);
      const code = error.code === 'SegmentMissing' ? 'EvidenceIncomplete' : 'EvidenceAltered';
      return context.json<ApiError>({ code, message: `${error.code}: ${error.message}` }, 409);
    }
    logger.error('a request failed', { path: context.req.path, cause: error.name });
    return context.json<ApiError>({ code: 'Unavailable', message: 'the collector could not answer' }, 503);
  });
  api.notFound((context) => context.json<ApiError>({ code: 'NotFound', message: 'there is nothing here' }, 404));
  api.get('/healthz', (context) => context.text('ok\n'));
  api.get('/readyz', (context) => {
    const missing = options.notReady();
    return missing === undefined ? context.text('ok\n') : context.text(`${missing}\n`, 503);
  });
  api.get('/metrics', async (context) => context.text(await options.metrics()));

  // Whoever knows a session's name, 56 random bits of it, is told how much of it is here, and nothing of what is in it: the operator asks,
  // who compares with what the session's pod counted.
  api.get('/v1/held', async (context) => {
    const { session } = parse(HeldQuery, { session: context.req.queries('session') });
    return context.json<HeldAnswer>(await sessions.held(session));
  });

  api.use('/v1/*', async (context, next) => {
    const url = new URL(context.req.url);
    const identity =
      context.env?.signedIn?.identity ??
      (await access.authorise({
        method: context.req.method,
        target: url.pathname + url.search,
        header: (name) => context.req.header(name),
      }));
    if ('refused' in identity) throw new Refused(401, { code: 'NotSignedIn', message: identity.refused });
    context.set('identity', identity);
    context.header('cache-control', 'no-store');
    await next();
  });
  api.route('/', logRoutes({ ...options.log, access, namespaces: () => sessions.namespaces() }));
  api.route('/', sinkRoutes({ sinks: options.sinks, access }));
  if (options.requests !== undefined) api.route('/', requestRoutes({ source: options.requests, access, now: options.now }));
  if (options.policies !== undefined) api.route('/', policyRoutes({ source: options.policies, access }));
  api.get('/v1/trust', (context) => context.json<TrustInfo>({ origin: options.origin }));
  api.get('/v1/sessions', async (context) => {
    const query = parse(ListQuery, context.req.query());
    const filter = filterOf(query, await namespaces(context.get('identity'), ['list'], query.namespace));
    return context.json(await sessions.list(filter, pageOf(query)));
  });
  api.post('/v1/sessions/search', bodyLimit({ maxSize: MAX_BODY_BYTES }), async (context) => {
    const query = parse(SearchBody, await context.req.json<unknown>().catch(() => undefined));
    const words = parseSearch(query.text);
    if (words === undefined) throw new Refused(400, { code: 'BadRequest', message: 'a search takes 1 to 16 words' });
    // What a command says is seen by replaying alone.
    const filter = filterOf(query, await namespaces(context.get('identity'), ['list', 'replay'], query.namespace));
    const found = sessions.search(filter, words, pageOf(query));
    // Everybody may sign in: who may see nothing is given nothing, and puts nothing into the log.
    return context.json(await (filter.namespaces.length === 0 ? found : given(context, { session: null, way: 'search' }, found)));
  });
  api.get('/v1/facets', async (context) =>
    context.json(await sessions.facets(await namespaces(context.get('identity'), ['list']))),
  );
  api.get('/v1/ledger', async (context) => {
    const may = await namespaces(context.get('identity'), ['list', 'get']);
    const isAll = may.length > 0 && may.length === (await sessions.namespaces()).length;
    const seen = await sessions.ledger(may, isAll, MAX_LEDGER);
    // As the log itself, which is for those who may list sessions of some namespace.
    const shown = may.length === 0 ? {} : shownCheckpoint(options.log.published(await options.log.log()));
    return context.json<EvidenceLedger>({ ...seen, ...shown });
  });
  api.get('/v1/sessions/:id', async (context) => context.json(await sessions.detail(await find(context, 'get'))));
  api.get('/v1/sessions/:id/records', async (context) => {
    const { from, limit } = parse(RecordsQuery, context.req.query());
    const { session } = await find(context, 'replay');
    return context.json(await given(context, { session, way: 'replay' }, sessions.records(session, from, limit)));
  });
  api.get('/v1/sessions/:id/outline', async (context) => {
    const { from, limit } = parse(RecordsQuery, context.req.query());
    const { session } = await find(context, 'replay');
    return context.json(await given(context, { session, way: 'view' }, sessions.outline(session, from, limit)));
  });
  api.get('/v1/sessions/:id/stream', async (context) => {
    const { action, from } = parse(StreamQuery, context.req.query());
    const { session } = await find(context, 'replay');
    return context.json(await given(context, { session, way: 'replay' }, sessions.stream(session, action, from)));
  });
  api.get('/v1/sessions/:id/key', async (context) => {
    const { session, key_id: id } = await find(context, 'replay');
    const key = await given(context, { session, way: 'replay' }, sessions.key({ session, key: { id } }));
    return context.json<DataKeyInfo>({ session, key: key.secret.toString('base64url') });
  });
  api.post('/v1/sessions/:id/orders', bodyLimit({ maxSize: MAX_BODY_BYTES }), async (context) => {
    const bytes = Buffer.from(await context.req.arrayBuffer());
    // What is signed is the address: it has to say what is ordered.
    if (context.req.query('body') !== sha256(bytes))
      throw new Refused(400, { code: 'BadRequest', message: 'the address does not name the SHA-256 of this body' });
    const { kind, reason } = parse(OrderRequest, parseJson(bytes));
    const { session } = await find(context, kind === 'erasure' ? 'erase' : 'hold');
    return context.json<GivenOrder>(await options.orders.give(kind, session, { by: context.get('identity').user, reason }));
  });
  const evidence = (context: Context<Env>, members: AsyncIterable<Member>): Response =>
    context.body(ReadableStream.from(said(writeEvidence(members), logger)), 200, { 'content-type': 'application/x-tar' });
  api.get('/v1/sessions/:id/evidence', async (context) => {
    const query = parse(EvidenceQuery, context.req.query());
    const row = await find(context, 'replay');
    const { session } = row;
    return evidence(context, await given(context, { session, way: 'verify' }, exporter.session(row, query, true)));
  });
  api.get('/v1/evidence', async (context) => {
    const query = parse(ExportQuery, context.req.query());
    const identity = context.get('identity');
    if ('session' in query) {
      const row = await find(context, 'export', query.session);
      const isReadable = await access.allowed(identity, 'replay', row.namespace);
      const { session } = row;
      return evidence(context, await given(context, { session, way: 'export' }, exporter.session(row, query, isReadable)));
    }
    const may = new Set(await namespaces(identity, ['list', 'export']));
    if (may.size === 0) throw new Refused(403, { code: 'Forbidden', message: 'you may not export sessions of any namespace' });
    // What was recorded is read by who may replay alone.
    const readable = new Set(await namespaces(identity, ['replay']));
    const allowed = {
      session: ({ namespace }: SessionRow): boolean => may.has(namespace),
      key: ({ namespace }: SessionRow): boolean => readable.has(namespace),
      several: may.size === (await sessions.namespaces()).length,
      counters: (namespace: string): boolean => may.has(namespace),
    };
    const { from, to } = query;
    const read: ReadOf = { session: null, way: 'export', period: { from, to } };
    return evidence(context, await given(context, read, exporter.period(query, query, allowed)));
  });
  return api;
}

/** Nothing where it waits for witnesses. */
function shownCheckpoint(published: Published | undefined): Pick<EvidenceLedger, 'checkpoint'> {
  if (published === undefined) return {};
  const { size, root } = published.head;
  const signers = parseNote(published.note).signatures.map(({ name }) => name);
  return { checkpoint: { size, root: root.toString('base64'), signers: [...new Set(signers)] } };
}

/** What ends a file early is said here too: whoever reads it sees only that it ended. */
async function* said(bytes: AsyncIterable<Buffer>, logger: Logger): AsyncGenerator<Buffer> {
  try {
    yield* bytes;
  } catch (error) {
    logger.error('an export ended early', { cause: error instanceof Error ? error.message : 'unknown' });
    throw error;
  }
}

function filterOf(
  { agent, resource, since, until, verdict, person }: z.infer<typeof ListQuery>,
  namespaces: string[],
): SessionFilter {
  const [namespace = '', name = ''] = resource?.split('/') ?? [];
  return {
    namespaces,
    ...(agent === undefined ? {} : { agent }),
    ...(resource === undefined ? {} : { resource: { namespace, name } }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(verdict === undefined ? {} : { verdict }),
    ...(person === undefined ? {} : { person }),
  };
}

function pageOf({ limit, after }: z.infer<typeof ListQuery>): { limit: number; after?: ListPlace } {
  return { limit, ...(after === undefined ? {} : { after }) };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

function parse<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.') || 'query').join(', ');
  throw new Refused(400, { code: 'BadRequest', message: `cannot be read: ${fields}` });
}

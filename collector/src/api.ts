import {
  type ApiError,
  bundleEnd,
  bundleHead,
  bundleLine,
  EvidenceError,
  SESSION_ID_PREFIX,
  type TrustInfo,
} from '@chaperone/evidence';
import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import { z } from 'zod';
import type { Access, Identity, Verb } from './access.ts';
import type { SessionRow } from './index-schema.ts';
import type { Logger } from './ingest.ts';
import type { Sessions } from './sessions.ts';

const MAX_LIST = 1000;
const MAX_RECORDS = 1000;

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const atMost = (most: number, otherwise: number) => z.coerce.number().int().min(1).max(most).default(otherwise);
/** What a list gives as `next`. */
const Place = z
  .string()
  .regex(/^[-+.e\d]{1,32},s-[a-z2-7]{16}$/)
  .transform((text) => ({ startedAt: Number(text.slice(0, text.indexOf(','))), session: text.slice(text.indexOf(',') + 1) }))
  // A pod's clock may say anything; what a list gave is taken again.
  .refine(({ startedAt }) => Number.isFinite(startedAt));
const ListQuery = z.strictObject({
  namespace: z.string().regex(NAME).optional(),
  agent: z.string().regex(NAME).optional(),
  resource: z
    .string()
    .regex(/^[^/]+\/[^/]+$/)
    .optional(),
  since: z.coerce.number().min(0).optional(),
  limit: atMost(MAX_LIST, 100),
  after: Place.optional(),
});
const RecordsQuery = z.strictObject({
  from: z.coerce.number().int().min(0).default(0),
  limit: atMost(MAX_RECORDS, 200),
});

export interface ApiOptions {
  readonly sessions: Sessions;
  readonly access: Access;
  readonly origin: string;
  readonly logger: Logger;
  /** What is not ready yet, as a sentence; undefined when everything is. */
  readonly notReady: () => string | undefined;
  readonly metrics: () => Promise<string>;
}

class Refused extends Error {
  readonly status: 400 | 401 | 403 | 404 | 409;
  readonly body: ApiError;
  constructor(status: Refused['status'], body: ApiError) {
    super(body.message);
    this.status = status;
    this.body = body;
  }
}

type Env = { Variables: { identity: Identity }; Bindings: { signedIn?: Identity } };

/**
 * The collector's HTTP API; its shapes are in @chaperone/evidence. Everything below /v1 wants a person who may
 * see it: `signedIn` of the environment, whom the console's door knows, or whom `access` finds. */
export function createApi(options: ApiOptions): Hono<Env> {
  const { sessions, access, logger } = options;
  const api = new Hono<Env>();

  const find = async (context: Context<Env>, verb: Verb): Promise<SessionRow> => {
    const name = context.req.param('id') ?? '';
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

  api.onError((error, context) => {
    if (error instanceof Refused) return context.json(error.body, error.status);
    if (error instanceof EvidenceError) {
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

  api.use('/v1/*', async (context, next) => {
    const url = new URL(context.req.url);
    const identity =
      context.env?.signedIn ??
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
  api.get('/v1/trust', (context) => context.json<TrustInfo>({ origin: options.origin }));
  api.get('/v1/sessions', async (context) => {
    const query = parse(ListQuery, context.req.query());
    const asked = query.namespace === undefined ? await sessions.namespaces() : [query.namespace];
    const namespaces: string[] = [];
    for (const namespace of asked)
      if (await access.allowed(context.get('identity'), 'list', namespace)) namespaces.push(namespace);
    if (query.namespace !== undefined && namespaces.length === 0)
      throw new Refused(403, { code: 'Forbidden', message: `you may not list sessions of namespace ${query.namespace}` });
    const [namespace = '', name = ''] = query.resource?.split('/') ?? [];
    return context.json(
      await sessions.list(
        {
          namespaces,
          ...(query.agent === undefined ? {} : { agent: query.agent }),
          ...(query.resource === undefined ? {} : { resource: { namespace, name } }),
          ...(query.since === undefined ? {} : { since: query.since }),
        },
        { limit: query.limit, ...(query.after === undefined ? {} : { after: query.after }) },
      ),
    );
  });
  api.get('/v1/sessions/:id', async (context) => context.json(await sessions.detail(await find(context, 'get'))));
  api.get('/v1/sessions/:id/records', async (context) => {
    const { from, limit } = parse(RecordsQuery, context.req.query());
    const row = await find(context, 'replay');
    return context.json(await sessions.records(row.session, from, limit));
  });
  api.get('/v1/sessions/:id/segments', async (context) => {
    const { session } = await find(context, 'replay');
    context.header('content-type', 'application/jsonl');
    return stream(context, async (out) => {
      await out.write(bundleHead(options.origin));
      let count = 0;
      for (let from = 0; !out.aborted; ) {
        const rows = await sessions.segments(session, from);
        if (rows.length === 0) break;
        for (const row of rows) {
          await out.write(bundleLine({ session, number: row.number, segment: await sessions.raw(row) }));
          from = row.number + 1;
          count++;
        }
      }
      await out.write(bundleEnd(count));
    });
  });
  return api;
}

function parse<T>(schema: z.ZodType<T>, query: Record<string, string>): T {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.') || 'query').join(', ');
  throw new Refused(400, { code: 'BadRequest', message: `cannot be read: ${fields}` });
}

import { type AccessRequest, REQUEST_STATES, RequestPath } from '@chaperone/api';
import type { Code } from '@chaperone/api/codes';
import { newestFirst } from '@chaperone/api/requests';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Access, type Identity, permitted } from '../access.ts';
import type { BrowserSession } from '../console/browser-sessions.ts';
import { RequestEvents } from './events.ts';
import { type Decided, DecisionBody, type RequestDesk, RequestRefused, type RequestSource, RevocationBody } from './source.ts';

/** A decision is a few hundred bytes and a reason of 1 KiB. */
const MAX_BODY_BYTES = 16 * 1024;
/** Each follows all requests. */
const MAX_WATCHERS = 128;
/** Of them, of one person, who has a few terminals and windows. */
const MAX_WATCHERS_OF_ONE = 8;

const Query = z.strictObject({
  namespace: z.string().min(1).max(256).optional(),
  state: z.enum(REQUEST_STATES).optional(),
  watch: z.enum(['1', 'true', '0', 'false']).optional(),
});

export interface RequestRoutesOptions {
  readonly source: RequestSource;
  readonly access: Access;
  readonly now: () => number;
}

type Env = { Variables: { identity: Identity }; Bindings: { signedIn?: BrowserSession } };

/**
 * Requests for approval, for whoever is known by now: GET /v1/requests (with watch=1 as server-sent events),
 * GET /v1/requests/NAMESPACE/NAME, GET …/content (rows that it would meet), POST …/decisions and POST …/revocations. What is answered
 * are AccessRequest and ApprovalDecision as a cluster has them. What somebody may not get is not there.
 */
export function requestRoutes({ source, access, now }: RequestRoutesOptions): Hono<Env> {
  const app = new Hono<Env>();
  /** By stream: the user who follows. */
  const watchers = new Map<RequestEvents, string>();
  const may = (identity: Identity, { metadata }: AccessRequest): Promise<boolean> =>
    access.allowed(identity, 'get', metadata.namespace ?? '', 'accessrequests');
  const find = async (context: Context<Env>): Promise<AccessRequest> => {
    const path = { namespace: context.req.param('namespace') ?? '', name: context.req.param('name') ?? '' };
    const request = RequestPath.safeParse(path).success
      ? source.list().find(({ metadata }) => metadata.name === path.name && metadata.namespace === path.namespace)
      : undefined;
    if (request === undefined || !(await may(context.get('identity'), request)))
      throw new RequestRefused(404, 'NotFound', `no request ${path.name.slice(0, 40)} is known here`);
    return request;
  };

  app.onError((error, context) => {
    if (error instanceof RequestRefused) return context.json({ code: error.code, message: error.message }, error.status);
    return context.json({ code: 'InternalFault' satisfies Code, message: 'the request could not be answered' }, 500);
  });
  app.use('/v1/requests/*', async (_, next) => {
    const why = source.notReady?.();
    if (why !== undefined) throw new RequestRefused(503, 'ClusterUnreachable', why);
    await next();
  });
  app.get('/v1/requests', async (context) => {
    const { namespace, state, watch } = parsed(Query, context.req.query());
    const identity = context.get('identity');
    const isMeant = ({ metadata }: AccessRequest): boolean => namespace === undefined || metadata.namespace === namespace;
    const isIn = ({ status }: AccessRequest): boolean => state === undefined || (status?.state ?? 'Pending') === state;
    const found = newestFirst(source.list().filter((each) => isMeant(each) && isIn(each)));
    if (watch !== '1' && watch !== 'true') {
      const items = await permitted(access, identity, 'accessrequests', found);
      return context.json({ apiVersion: 'v1', kind: 'List', items });
    }
    if (watchers.size >= MAX_WATCHERS) throw new RequestRefused(503, 'LimitReached', `${MAX_WATCHERS} watch already`);
    if ([...watchers.values()].filter((user) => user === identity.user).length >= MAX_WATCHERS_OF_ONE)
      throw new RequestRefused(503, 'LimitReached', `you watch in ${MAX_WATCHERS_OF_ONE} places already`);
    const events = new RequestEvents({
      viewer: { ...source.viewer(identity), decides: source.desk !== undefined },
      first: found.toReversed(),
      // What leaves the state is told too: whoever watches what is pending wants to know that it is not any more.
      watch: (tell) => source.watch((each) => void (isMeant(each) && tell(each))),
      may: (each) => may(identity, each),
      isHeard: () => source.notReady?.() === undefined,
      signIn: context.env?.signedIn,
      now,
      onEnd: () => void watchers.delete(events),
    });
    watchers.set(events, identity.user);
    return context.body(new ReadableStream(events), 200, { 'content-type': 'text/event-stream' });
  });
  app.get('/v1/requests/:namespace/:name', async (context) => context.json(await find(context)));
  app.get('/v1/requests/:namespace/:name/content', async (context) => {
    const request = await find(context);
    return context.json(deskOf(source).content(request));
  });
  app.post('/v1/requests/:namespace/:name/decisions', async (context) => {
    const request = await find(context);
    const answer = parsed(DecisionBody, await jsonBody(context));
    return taken(context, deskOf(source).decide(request, answer, context.get('identity')));
  });
  app.post('/v1/requests/:namespace/:name/revocations', async (context) => {
    const request = await find(context);
    const answer = parsed(RevocationBody, await jsonBody(context));
    return taken(context, deskOf(source).revoke(request, answer, context.get('identity')));
  });
  return app;
}

function taken(context: Context<Env>, { made, ...decided }: Decided): Response {
  return context.json(decided, made ? 201 : 200);
}

function deskOf({ desk }: RequestSource): RequestDesk {
  if (desk === undefined) throw new RequestRefused(404, 'NotFound', 'requests are read here, and answered elsewhere');
  return desk;
}

function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new RequestRefused(400, 'Usage', `${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is not understood'}`.trim());
}

/** JSON of at most so many bytes, whatever the header says of them. */
async function jsonBody(context: Context<Env>): Promise<unknown> {
  if (!/^application\/json\s*(;|$)/i.test(context.req.header('content-type') ?? ''))
    throw new RequestRefused(415, 'Usage', 'a decision is sent as application/json');
  const tooLarge = new RequestRefused(413, 'Usage', `a decision is at most ${MAX_BODY_BYTES} bytes`);
  if (Number(context.req.header('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (context.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))) as unknown;
  } catch {
    throw new RequestRefused(400, 'Usage', 'the decision is not JSON');
  }
}

import { type AccessRequest, API_VERSION, type ApprovalDecision, REQUEST_STATES, RequestPath } from '@chaperone/api';
import type { Code } from '@chaperone/api/codes';
import { SESSION_ID } from '@chaperone/evidence';
import { isOpen } from '@chaperone/policy';
import type { ManifestControl } from '@chaperone/sidecar';
import { type Context, Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
import { type Answer, fits, groupsNamed, newestFirst, notFound, type RequestContent } from '../requests/desk.ts';
import { localPerson } from '../requests/local-person.ts';
import { over } from '../requests/outcome.ts';
import type { Killed, Order } from './killing.ts';
import { RequestEvents } from './request-events.ts';
import { foreignSite, hasToken } from './same-site.ts';

type Desk = ManifestControl['approvals'];

/** A decision is a few hundred bytes and a reason of 1 KiB. */
const MAX_BODY_BYTES = 16 * 1024;
/** Each follows all requests; people have a few terminals and windows. */
const MAX_WATCHERS = 32;

export interface RequestRoutesOptions {
  readonly desk: Desk;
  /** The bearer token of the collector's API. */
  readonly token: string;
  /** Of --console: a name by which the listener may be spoken to, beside addresses and localhost. */
  readonly host: string;
  readonly now: () => number;
  /** Ends a session, if it is open. */
  readonly kill: (order: Order) => Promise<Killed>;
}

const name = z.string().min(1).max(256);
const Played = z.strictObject({ user: name, groups: z.array(name).max(512).default([]) });
/** What a person decides; who that is, is not theirs to say but by playing somebody. */
const DecisionBody = z.strictObject({
  requestUid: name,
  digest: z.string().regex(/^[0-9a-f]{64}$/, 'digest is the whole one, 64 hexadecimal digits'),
  decision: z.enum(['Approve', 'Deny']),
  reason: z.string().min(1).max(1024).optional(),
  grantFor: z.int().optional(),
  as: Played.optional(),
});
const KillBody = z.strictObject({
  session: z.string().regex(SESSION_ID),
  reason: z.string().min(1).max(256),
  as: Played.optional(),
});
const Query = z.strictObject({
  namespace: name.optional(),
  state: z.enum(REQUEST_STATES).optional(),
  watch: z.enum(['1', 'true', '0', 'false']).optional(),
});

/** What is wrong with a request, answered as `{code, message}`. */
class Refused extends HTTPException {
  readonly code: Code;
  constructor(status: 400 | 401 | 403 | 404 | 409 | 413 | 415 | 503, code: Code, message: string) {
    super(status, { message });
    this.code = code;
  }
}

/**
 * Requests of `chaperone up` over HTTP, and the end of sessions (POST /v1/kills): GET /v1/requests (with watch=1 as server-sent events), GET /v1/requests/NAMESPACE/NAME,
 * GET …/content (rows that it would meet) and POST …/decisions. What is answered are AccessRequest and ApprovalDecision as a cluster has them.
 */
export function requestRoutes(options: RequestRoutesOptions): Hono {
  const { desk, token, host } = options;
  const app = new Hono();
  let watchers = 0;
  app.onError((error, c) => {
    if (error instanceof Refused) return c.json({ code: error.code, message: error.message }, error.status);
    return c.json({ code: 'InternalFault' satisfies Code, message: 'the request could not be answered' }, 500);
  });
  app.notFound((c) => c.json({ code: 'NotFound' satisfies Code, message: 'there is no such path' }, 404));
  app.use(async (c, next) => {
    const foreign = foreignSite({ header: (each) => c.req.header(each) }, host);
    if (foreign !== undefined) throw new Refused(403, 'NotPermitted', foreign);
    if (!hasToken({ header: (each) => c.req.header(each) }, token))
      throw new Refused(401, 'NotSignedIn', 'requests want the bearer token of the data directory');
    c.header('cache-control', 'no-store');
    c.header('x-content-type-options', 'nosniff');
    await next();
  });

  app.get('/v1/requests', (c) => {
    const { namespace, state, watch } = parsed(Query, c.req.query());
    const items = desk.list().filter((each) => fits(each, { namespace, ...(state !== undefined && { states: [state] }) }));
    if (watch !== '1' && watch !== 'true') return c.json({ apiVersion: 'v1', kind: 'List', items: newestFirst(items) });
    if (watchers >= MAX_WATCHERS) throw new Refused(503, 'LimitReached', `${MAX_WATCHERS} watch already`);
    watchers++;
    const events = new RequestEvents({
      now: newestFirst(items).toReversed(),
      // What leaves the state is told too: whoever watches what is pending wants to know that it is not any more.
      watch: (tell) => desk.watch((each) => void (fits(each, { namespace }) && tell(each))),
      onEnd: () => void watchers--,
    });
    return c.body(new ReadableStream(events), 200, { 'content-type': 'text/event-stream' });
  });
  app.get('/v1/requests/:namespace/:name', (c) => c.json(found(desk, c.req.param())));
  app.get('/v1/requests/:namespace/:name/content', (c) => {
    const { columns, rows } = desk.contentOf(found(desk, c.req.param()).metadata.name) ?? {};
    return c.json({ columns, rows } satisfies RequestContent);
  });
  app.post('/v1/requests/:namespace/:name/decisions', async (c) => {
    const request = found(desk, c.req.param());
    const { made, ...answer } = decide(options, request, parsed(DecisionBody, await jsonBody(c)));
    return c.json(answer, made ? 201 : 200);
  });
  app.post('/v1/kills', async (c) => {
    const { session, reason, as } = parsed(KillBody, await jsonBody(c));
    const killed = await options.kill({ session, reason, by: as?.user });
    if (killed === 'unknown') throw new Refused(404, 'NotFound', `no session ${session} is known here`);
    if (killed === 'over') throw new Refused(409, 'SessionOver', `${session} is over already; nothing was done`);
    return c.json({ session }, 202);
  });
  return app;
}

/** Takes the answer; one that the same person gave already is given once. */
function decide(
  { desk, now }: RequestRoutesOptions,
  request: AccessRequest,
  { requestUid, digest, decision, reason, grantFor, as }: z.infer<typeof DecisionBody>,
): { made: boolean; decision: ApprovalDecision; request: AccessRequest; as: string } {
  const { metadata, spec } = request;
  if (requestUid !== metadata.uid || digest !== spec.digest)
    throw new Refused(409, 'DigestMismatch', `${metadata.name} is something else than what was shown; nothing was decided`);
  const person = localPerson(request, as);
  const said = { as: `${person.user}, ${person.note ?? ''}` };
  const before = alreadyGiven(request, person.user, decision);
  if (before !== undefined) return { made: false, decision: before, request, ...said };
  const named = groupsNamed(request);
  try {
    const taken = desk.decide({
      request: metadata.name,
      requestUid,
      digest,
      decision,
      by: person.user,
      groups: person.groups.filter((group) => named.includes(group)),
      ...(reason !== undefined && { reason }),
      ...(grantFor !== undefined && { grantFor }),
    });
    return { made: true, ...taken, ...said };
  } catch (error) {
    throw refusal(error, desk, request, now());
  }
}

function alreadyGiven(
  { metadata, spec, status }: AccessRequest,
  by: string,
  decision: Answer['decision'],
): ApprovalDecision | undefined {
  const known = status?.decisions?.find((each) => each.by === by && each.decision === decision && each.counted);
  if (known === undefined) return undefined;
  const { reason, at, counted } = known;
  return {
    apiVersion: API_VERSION,
    kind: 'ApprovalDecision',
    metadata: { name: known.name, namespace: metadata.namespace, creationTimestamp: at },
    spec: {
      request: metadata.name,
      requestUid: metadata.uid ?? '',
      digest: spec.digest,
      decision,
      by,
      groups: [],
      ...(reason !== undefined && { reason }),
    },
    status: { counted },
  };
}

/** The desk's own no, in the words of the command line. */
function refusal(error: unknown, desk: Desk, request: AccessRequest, now: number): unknown {
  const { namespace = '', name: its } = request.metadata;
  if (!(error instanceof Error) || error.name !== 'DecisionError' || !('code' in error)) return error;
  if (error.code === 'RequestUnknown') return new Refused(404, 'NotFound', error.message);
  if (error.code !== 'AlreadyDecided') return new Refused(400, 'Usage', error.message);
  const latest = found(desk, { namespace, name: its });
  if (isOpen(latest.status?.state)) return new Refused(409, 'LimitReached', `${its} has more answers than are counted`);
  const { code, message } = over(latest, now);
  return new Refused(409, code, message);
}

function found(desk: Desk, path: { namespace: string; name: string }): AccessRequest {
  const { namespace, name: wanted } = path;
  const request = RequestPath.safeParse(path).success
    ? desk.list().find(({ metadata }) => metadata.name === wanted && metadata.namespace === namespace)
    : undefined;
  if (request === undefined) throw new Refused(404, 'NotFound', notFound(wanted.slice(0, 40), 'is known here').message);
  return request;
}

function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Refused(400, 'Usage', `${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is not understood'}`.trim());
}

/** JSON of at most so many bytes, whatever the header says of them. */
async function jsonBody(c: Context): Promise<unknown> {
  if (!/^application\/json\s*(;|$)/i.test(c.req.header('content-type') ?? ''))
    throw new Refused(415, 'Usage', 'a decision is sent as application/json');
  const tooLarge = new Refused(413, 'Usage', `a decision is at most ${MAX_BODY_BYTES} bytes`);
  if (Number(c.req.header('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))) as unknown;
  } catch {
    throw new Refused(400, 'Usage', 'the decision is not JSON');
  }
}

import { SESSION_ID } from '@chaperone/evidence';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { Killed, Order } from './killing.ts';
import { hasToken } from './same-site.ts';

const MAX_BODY_BYTES = 4096;
const name = z.string().min(1).max(256);
const KillBody = z.strictObject({
  session: z.string().regex(SESSION_ID),
  reason: name,
  as: z.strictObject({ user: name, groups: z.array(name).max(512).default([]) }).optional(),
});

export interface KillRoutesOptions {
  /** The bearer token of the collector's API: a browser ends no sessions. */
  readonly token: string;
  /** Ends a session, if it is open. */
  readonly kill: (order: Order) => Promise<Killed>;
}

/** The end of a session of `chaperone up`, over HTTP: POST /v1/kills. */
export function killRoutes({ token, kill }: KillRoutesOptions): Hono {
  const app = new Hono();
  app.notFound((c) => c.json({ code: 'NotFound', message: 'there is no such path' }, 404));
  app.post('/v1/kills', bodyLimit({ maxSize: MAX_BODY_BYTES }), async (c) => {
    if (!hasToken({ header: (each) => c.req.header(each) }, token))
      return c.json({ code: 'NotSignedIn', message: 'to end a session wants the bearer token of the data directory' }, 401);
    const body = KillBody.safeParse(await c.req.json<unknown>().catch(() => undefined));
    if (!body.success) return c.json({ code: 'Usage', message: 'a session and a reason of 1 to 256 characters end one' }, 400);
    const { session, reason, as } = body.data;
    const killed = await kill({ session, reason, by: as?.user });
    if (killed === 'unknown') return c.json({ code: 'NotFound', message: `no session ${session} is known here` }, 404);
    if (killed === 'over') return c.json({ code: 'SessionOver', message: `${session} is over already; nothing was done` }, 409);
    const ended = killed === 'ended';
    return c.json({ session, ended }, ended ? 200 : 202);
  });
  return app;
}

import { formatVerifierKey, parseTilePath, type VerifierKey } from '@chaperone/evidence';
import { Hono } from 'hono';
import type { Access, Identity } from '../access.ts';
import type { Published } from './receipts.ts';
import type { TransparencyLog } from './transparency-log.ts';

type Env = { Variables: { identity: Identity } };

export interface LogRoutesOptions {
  readonly log: () => Promise<TransparencyLog>;
  /** The newest checkpoint that may be shown; undefined while it waits for witnesses. */
  readonly published: (log: TransparencyLog) => Published | undefined;
  readonly key: VerifierKey;
  readonly access: Access;
  readonly namespaces: () => Promise<readonly string[]>;
}

/**
 * The log as C2SP tlog-tiles serves one, below /v1/log, and the key of its checkpoints. Entries name nobody; still they tell of every
 * namespace how much happens there, so that they are for whoever may list the sessions of one.
 */
export function logRoutes({ log, published, key, access, namespaces }: LogRoutesOptions): Hono<Env> {
  const routes = new Hono<Env>();
  routes.use('/v1/log/*', async (context, next) => {
    const identity = context.get('identity');
    for (const namespace of await namespaces()) if (await access.allowed(identity, 'list', namespace)) return next();
    return context.json({ code: 'Forbidden', message: 'the log is for those who may list sessions of some namespace' }, 403);
  });
  routes.get('/v1/log/key', (context) => context.text(`${formatVerifierKey(key)}\n`));
  routes.get('/v1/log/checkpoint', async (context) => {
    const newest = published(await log());
    if (newest === undefined)
      return context.json({ code: 'Unavailable', message: 'no checkpoint has been cosigned by the witnesses yet' }, 503);
    return context.text(newest.note.toString());
  });
  routes.get('/v1/log/tile/*', async (context) => {
    const tile = parseTilePath(context.req.path.slice('/v1/log/'.length));
    const bytes = tile === undefined ? undefined : await (await log()).tile(tile);
    if (bytes === undefined) return context.json({ code: 'NotFound', message: 'the log has no such tile' }, 404);
    return context.body(new Uint8Array(bytes), 200, { 'content-type': 'application/octet-stream' });
  });
  return routes;
}

import type { ApiError, SinkList, SinkResent } from '@chaperone/evidence';
import { Hono } from 'hono';
import type { Access, Identity, Verb } from '../access.ts';
import { sinkErrorOf } from './errors.ts';
import type { Sinks } from './sinks.ts';

type Env = { Variables: { identity: Identity } };

/** Rights that are of no namespace: a sink has the events of all. */
const EVERYWHERE = '';

/**
 * How far the sinks are, below /v1/sinks, for who may list sessions everywhere; and their dead letters again, for who may export sessions
 * everywhere.
 */
export function sinkRoutes({ sinks, access }: { readonly sinks: Sinks; readonly access: Access }): Hono<Env> {
  const routes = new Hono<Env>();
  const may = (identity: Identity, verb: Verb): Promise<boolean> => access.allowed(identity, verb, EVERYWHERE);

  routes.get('/v1/sinks', async (context) => {
    if (!(await may(context.get('identity'), 'list'))) return context.json(forbidden('list'), 403);
    return context.json<SinkList>({ items: await sinks.list() });
  });
  routes.post('/v1/sinks/:name/resend', async (context) => {
    if (!(await may(context.get('identity'), 'export'))) return context.json(forbidden('export'), 403);
    const resent = sinks.resend(context.req.param('name'));
    if (resent === undefined)
      return context.json<ApiError>({ code: 'NotFound', message: 'no sink that runs has this name' }, 404);
    try {
      return context.json<SinkResent>({ resent: await resent });
    } catch (error) {
      const { code, message } = sinkErrorOf(error);
      return context.json<ApiError>({ code: 'Unavailable', message: `${code}: ${message}` }, 503);
    }
  });
  return routes;
}

function forbidden(verb: Verb): ApiError {
  return { code: 'Forbidden', message: `sinks are for those who may ${verb} sessions of every namespace` };
}

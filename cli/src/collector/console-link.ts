import { ApiError, NewLink } from '@chaperone/evidence';
import { CliError, EXIT } from '../errors.ts';
import { type Address, readAddress } from '../up/data-directory.ts';

/** A new link into the console of the `chaperone up` that works in the directory, leading to `path`. Throws CliError CollectorUnreachable. */
export async function newConsoleLink(data: string, path: string): Promise<{ url: string; expiresAt: number }> {
  const running = await readAddress(data);
  if (running === undefined)
    throw unreachable(`no chaperone up runs with --data ${data}`, [
      'chaperone up --manifests DIR --agent NAMESPACE/SERVICEACCOUNT',
      'or name its data directory with --data',
    ]);
  const response = await ask(running, path);
  const said: unknown = await response.json().catch(() => undefined);
  const link = NewLink.safeParse(said);
  if (response.ok && link.success) return { url: `${running.url}${link.data.link}`, expiresAt: link.data.expiresAt };
  // Where the page was not built, the collector knows no links.
  const error = ApiError.safeParse(said);
  throw unreachable(`${running.url} has no console: ${error.success ? error.data.message : response.status}`, [
    'npm run build, then start chaperone up again',
  ]);
}

function ask({ url, token }: Address, path: string): Promise<Response> {
  return fetch(`${url}/auth/links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ path }),
  }).catch((cause: unknown) => {
    throw new CliError('CollectorUnreachable', `the collector at ${url} does not answer`, { cause, exit: EXIT.unreachable });
  });
}

function unreachable(message: string, fix: readonly string[]): CliError {
  return new CliError('CollectorUnreachable', message, { exit: EXIT.unreachable, fix });
}

import { API_VERSION } from '@chaperone/api';
import { z } from 'zod';
import { ApiServer, ApiStatusError, isStatus } from '../cluster/api-server.ts';
import { asUnexpected, notInstalled } from '../cluster/installation.ts';
import { type Environment, loadKubeconfig } from '../cluster/kubeconfig.ts';
import type { ClusterFlags } from '../collector/transport.ts';
import { CliError, EXIT } from '../errors.ts';

const ROOT = '/apis/chaperone.dev/v1alpha1';
/** Objects that the API server lists at once. */
const PAGE = '500';

const Meta = z.object({ resourceVersion: z.string().default(''), continue: z.string().optional() });
const List = z.object({ metadata: Meta, items: z.array(z.unknown()) });

export function pathOf(namespace: string | undefined, plural: string): string {
  return namespace === undefined ? `${ROOT}/${plural}` : `${ROOT}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
}

/** Objects of one kind, with the version of the list; without kind and version, which the API server leaves out. Throws CliError. */
export async function listObjects(
  api: ApiServer,
  what: { readonly plural: string; readonly namespace: string | undefined; readonly query?: Readonly<Record<string, string>> },
): Promise<{ readonly items: unknown[]; readonly version: string }> {
  const { plural, namespace, query = {} } = what;
  const items: unknown[] = [];
  let next: string | undefined;
  for (;;) {
    const more: Record<string, string> = next === undefined ? {} : { continue: next };
    const request = { path: pathOf(namespace, plural), query: { limit: PAGE, ...query, ...more } };
    const page: z.infer<typeof List> = await api.request(List, request).catch((error: unknown) => {
      const where = namespace === undefined ? 'every namespace' : `namespace ${namespace}`;
      throw refused(api, error, `list ${WORDS[plural] ?? plural} of ${where}`);
    });
    for (const item of page.items) items.push(item);
    next = page.metadata.continue === '' ? undefined : page.metadata.continue;
    if (next === undefined) return { items, version: page.metadata.resourceVersion };
  }
}

/**
 * All requests and decisions of a namespace, or of every one. Requests come first: what is decided meanwhile is a decision more than
 * they count, and none less. Throws CliError.
 */
export async function readRequestObjects(flags: ClusterFlags, env: Environment): Promise<unknown[]> {
  using api = new ApiServer(loadKubeconfig(flags, env));
  const namespace = flags.allNamespaces === true ? undefined : api.access.namespace;
  const objects: unknown[] = [];
  for (const [plural, kind] of [
    ['accessrequests', 'AccessRequest'],
    ['approvaldecisions', 'ApprovalDecision'],
  ] as const) {
    const { items } = await listObjects(api, { plural, namespace });
    for (const item of items) objects.push({ ...(item as object), apiVersion: API_VERSION, kind });
  }
  return objects;
}

const WORDS: Readonly<Record<string, string>> = { accessrequests: 'requests', approvaldecisions: 'answers' };

/** What the API server refused, as a person reads it. */
export function refused(api: ApiServer, error: unknown, what: string): unknown {
  if (isStatus(error, 404)) return notInstalled(api, error);
  if (!(error instanceof ApiStatusError) || ![400, 403, 422].includes(error.status)) return asUnexpected(api, error);
  return new CliError('NotPermitted', `${api.access.who} may not ${what}: ${error.message}`, {
    cause: error,
    exit: EXIT.notPermitted,
    fix: [
      'kubectl auth can-i create approvaldecisions.chaperone.dev -n NAMESPACE',
      'kubectl auth can-i list accessrequests.chaperone.dev -n NAMESPACE',
    ],
  });
}

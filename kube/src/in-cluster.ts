import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError } from './errors.ts';
import type { ClusterAccess } from './transport.ts';

const DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * How a pod reaches the API server: by its environment and the mounted token, which are read anew at each use. For programs that do
 * without all the other ways to sign in, and the 54 MiB that know them.
 * @throws ApiError where this is no pod; later, at a request, where a file cannot be read.
 */
export function inCluster(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string = DIRECTORY,
): ClusterAccess {
  const host = environment['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '';
  if (host === '' || !/^\d{1,5}$/.test(port))
    throw new ApiError(0, 'Protocol', 'this is no pod: KUBERNETES_SERVICE_HOST or _PORT is missing');
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const read = (name: string): Promise<string> =>
    readFile(join(directory, name), 'utf8').catch((cause: unknown) => {
      throw new ApiError(0, 'Protocol', `${name} of the ServiceAccount cannot be read`, { cause });
    });
  return {
    getCurrentCluster: () => ({ server }),
    applyToHTTPSOptions: async (options) => {
      const [ca, token] = await Promise.all([read('ca.crt'), read('token')]);
      options.ca = ca;
      options.headers = { ...(options.headers as object | undefined), authorization: `Bearer ${token.trim()}` };
    },
  };
}

import { existsSync, readFileSync } from 'node:fs';
import type { OutgoingHttpHeaders } from 'node:http';
import type { RequestOptions } from 'node:https';
import { delimiter, join } from 'node:path';
import { type Cluster, type Context, KubeConfig, type User } from '@kubernetes/client-node';
import { CliError, EXIT } from '../errors.ts';
import type { ClusterFlags } from '../collector/transport.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const DEFAULT_TIMEOUT_MS = 30_000;
const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
/** Names of contexts that an error lists; more would bury it. */
const MAX_LISTED = 8;

export type ConnectOptions = Omit<RequestOptions, 'headers'> & { readonly headers: OutgoingHttpHeaders };

/** The cluster that a command works on, with the credentials of the person who runs it. */
export interface ClusterAccess {
  readonly context: string;
  /** Who is meant, for messages: `jane (impersonated)`, or the user of the context. */
  readonly who: string;
  readonly server: URL;
  /** Of --namespace, else of the context, else `default`. */
  readonly namespace: string;
  /** For one request; undefined: as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** TLS, credentials and proxy for one request to the API server. Runs a credentials plugin where the kubeconfig names one. */
  connectOptions(): Promise<ConnectOptions>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Chooses the cluster as kubectl does: --kubeconfig, else the files of KUBECONFIG (the first that says a thing wins), else
 * ~/.kube/config, else the ServiceAccount of the pod this runs in, which is in the directory `serviceAccount`. Throws CliError
 * NoContext and Usage.
 */
export function loadKubeconfig(flags: ClusterFlags, env: Environment, serviceAccount = SERVICE_ACCOUNT): ClusterAccess {
  const timeoutMs = requestTimeout(flags.requestTimeout);
  const { files, config } = loadFiles(flags, env);
  const isEmpty = config.contexts.length === 0 && config.clusters.length === 0;
  if (isEmpty && flags.kubeconfig === undefined) useServiceAccount(config, env, serviceAccount);
  const context = chooseContext(flags, config, files, env);
  const cluster = config.getCluster(flags.cluster ?? context.cluster);
  if (cluster === null) throw noContext(`${told(files, env)} has no cluster "${flags.cluster ?? context.cluster}"`);
  const server = httpsUrl(cluster);
  const chosen = new KubeConfig();
  chosen.loadFromClusterAndUser(cluster, chooseUser(flags, context, config, files, env));
  const impersonation = impersonationHeaders(flags);
  return {
    context: context.name,
    who: flags.as === undefined ? `the user of context ${context.name}` : `${flags.as} (impersonated)`,
    server,
    namespace: flags.namespace ?? context.namespace ?? 'default',
    timeoutMs,
    async connectOptions() {
      const options: RequestOptions = {};
      try {
        await chosen.applyToHTTPSOptions(options);
      } catch (error) {
        // What the plugin said may hold a secret: it stays in the cause.
        throw new CliError('ClusterUnreachable', `context ${context.name}: its credentials could not be read or made`, {
          cause: error,
          exit: EXIT.unreachable,
          fix: [`kubectl --context ${context.name} version`],
        });
      }
      const headers = options.headers as OutgoingHttpHeaders | undefined;
      return { ...options, headers: { ...headers, ...impersonation } };
    },
  };
}

/** What client-node does not send by itself; the user's name it does. */
function impersonationHeaders({ asGroup = [], asUid }: ClusterFlags): OutgoingHttpHeaders {
  return {
    ...(asGroup.length === 0 ? {} : { 'Impersonate-Group': [...asGroup] }),
    ...(asUid === undefined ? {} : { 'Impersonate-Uid': asUid }),
  };
}

function noContext(message: string, fix: readonly string[] = []): CliError {
  return new CliError('NoContext', message, { exit: EXIT.usage, ...(fix.length > 0 ? { fix } : {}) });
}

function usage(message: string): CliError {
  return new CliError('Usage', message, { exit: EXIT.usage });
}

function loadFiles(flags: ClusterFlags, env: Environment): { files: readonly string[]; config: KubeConfig } {
  if (flags.kubeconfig !== undefined) {
    if (!existsSync(flags.kubeconfig)) throw noContext(`kubeconfig ${flags.kubeconfig} does not exist`);
    return { files: [flags.kubeconfig], config: merge([flags.kubeconfig]) };
  }
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  const home = env['HOME'] ?? env['USERPROFILE'];
  const files = named.length > 0 ? named : home === undefined ? [] : [join(home, '.kube', 'config')];
  return { files, config: merge(files.filter((file) => existsSync(file))) };
}

/** What a pod knows of its cluster; outside of a pod nothing is known. */
function useServiceAccount(config: KubeConfig, env: Environment, directory: string): void {
  const [host, port = '443'] = [env['KUBERNETES_SERVICE_HOST'], env['KUBERNETES_SERVICE_PORT']];
  const tokenFile = join(directory, 'token');
  if (host === undefined || host === '' || !existsSync(tokenFile)) return;
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const namespaceFile = join(directory, 'namespace');
  const namespace = existsSync(namespaceFile) ? readFileSync(namespaceFile, 'utf8').trim() : undefined;
  config.loadFromOptions({
    clusters: [{ name: 'in-cluster', server, caFile: join(directory, 'ca.crt'), skipTLSVerify: false }],
    users: [{ name: 'service-account', authProvider: { name: 'tokenFile', config: { tokenFile } } }],
    contexts: [{ name: 'in-cluster', cluster: 'in-cluster', user: 'service-account', namespace }],
    currentContext: 'in-cluster',
  });
}

/** As kubectl merges: of two entries with one name, and of two current contexts, the first counts. */
function merge(files: readonly string[]): KubeConfig {
  const all = files.map((file) => {
    const config = new KubeConfig();
    try {
      if (readFileSync(file, 'utf8').trim() !== '') config.loadFromFile(file);
    } catch (error) {
      // The parser's message quotes the file, which holds credentials.
      throw noContextBecause(error, `kubeconfig ${file} is not a kubeconfig that can be read`);
    }
    return config;
  });
  const merged = new KubeConfig();
  merged.loadFromOptions({
    clusters: firstByName(all.flatMap((each) => each.clusters)),
    users: firstByName(all.flatMap((each) => each.users)),
    contexts: firstByName(all.flatMap((each) => each.contexts)),
    currentContext: all.map((each) => each.currentContext).find((name) => typeof name === 'string' && name !== ''),
  });
  return merged;
}

function noContextBecause(cause: unknown, message: string): CliError {
  return new CliError('NoContext', message, { cause, exit: EXIT.usage, fix: ['kubectl config view'] });
}

function firstByName<T extends { readonly name: string }>(entries: readonly T[]): T[] {
  return entries.filter((entry, at) => entries.findIndex(({ name }) => name === entry.name) === at);
}

function chooseContext(flags: ClusterFlags, config: KubeConfig, files: readonly string[], env: Environment): Context {
  const name = flags.context ?? config.currentContext;
  const found = name === undefined ? null : config.getContextObject(name);
  if (found !== null) return found;
  if (flags.context === undefined && flags.cluster !== undefined)
    return { name: flags.cluster, cluster: flags.cluster, user: flags.user ?? '' };
  const names = config.contexts.map((each) => each.name);
  const fix =
    names.length === 0
      ? ['without a cluster: chaperone up']
      : [`--context NAME, one of: ${names.slice(0, MAX_LISTED).join(', ')}${names.length > MAX_LISTED ? ', …' : ''}`];
  if (flags.context !== undefined) throw noContext(`${told(files, env)} has no context "${flags.context}"`, fix);
  throw noContext(`${told(files, env)} has no current context`, fix);
}

function chooseUser(flags: ClusterFlags, context: Context, config: KubeConfig, files: readonly string[], env: Environment): User {
  if (flags.as === undefined && (flags.asGroup ?? []).length > 0) throw usage('--as-group needs --as');
  if (flags.as === undefined && flags.asUid !== undefined) throw usage('--as-uid needs --as');
  const name = flags.user ?? context.user;
  const user = config.getUser(name);
  if (user === null && flags.user !== undefined) throw noContext(`${told(files, env)} has no user "${flags.user}"`);
  // Without a user client-node leaves out the cluster's CA too.
  return { ...(user ?? { name: 'anonymous' }), ...(flags.as === undefined ? {} : { impersonateUser: flags.as }) };
}

function httpsUrl(cluster: Cluster): URL {
  const server = URL.parse(cluster.server);
  if (server?.protocol !== 'https:')
    throw noContext(`the server of cluster ${cluster.name} is not an https URL; credentials are sent over https only`);
  return server;
}

function told(files: readonly string[], env: Environment): string {
  const home = env['HOME'];
  const short = files.map((file) => (home !== undefined && file.startsWith(`${home}/`) ? `~${file.slice(home.length)}` : file));
  return short.length === 0 ? 'the kubeconfig' : `kubeconfig ${short.join(', ')}`;
}

/** As kubectl reads it: `30s`, `1m`; a bare number is seconds, 0 is without end. */
function requestTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return DEFAULT_TIMEOUT_MS;
  const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(text);
  if (match === null) throw usage(`--request-timeout is written 30s or 1m; "${text.slice(0, 40)}" is not`);
  const ms = Number(match[1]) * UNITS_MS[(match[2] ?? 's') as keyof typeof UNITS_MS];
  if (ms > 2 ** 31 - 1) throw usage('--request-timeout is at most 24 days');
  return ms === 0 ? undefined : ms;
}

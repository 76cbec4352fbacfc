import { mkdir, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import type { Agent, GrantedResource } from '@chaperone/policy';
import {
  createDirectDelivery,
  createGuard,
  createListeners,
  createRecording,
  createSessions,
  type Logger,
  openManifestControl,
  systemClock,
} from '@chaperone/sidecar';
import { type ServerType, serve } from '@hono/node-server';
import { CliError } from '../errors.ts';
import { localIdentity } from './identity.ts';

/** How long SIGTERM waits for evidence to be stored. */
const FLUSH_TIMEOUT_MS = 5_000;

export interface UpOptions {
  readonly manifests: string;
  readonly agent: Agent;
  readonly listen: ReadonlyMap<string, { host: string; port: number }>;
  readonly data: string;
  readonly console: { host: string; port: number };
  readonly logger: Logger;
}

export interface ReadyLine {
  readonly ready: true;
  readonly resources: readonly { readonly resource: string; readonly protocol: string; readonly address: string }[];
  readonly collector: string;
  readonly console: string;
}

export interface Running {
  readonly ready: ReadyLine;
  /** Granted resources that cannot be used, with the reason. */
  readonly problems: readonly { readonly resource: string; readonly code: string; readonly message: string }[];
  stop(): Promise<{ unacknowledged: number }>;
}

/** Starts sidecar and collector in this process, from manifest files, on local ports. */
export async function startUp(options: UpOptions): Promise<Running> {
  const { data, logger, agent } = options;
  await mkdir(data, { recursive: true, mode: 0o700 });
  const control = await openManifestControl({ directory: options.manifests, agent, data, clock: systemClock, logger });
  const { identity, trust, token } = await localIdentity(data, agent, systemClock.now());
  const collector = await createCollector({ directory: join(data, 'evidence'), trust, access: createTokenAccess(token), logger });
  const api = await listenApi(collector, options.console);
  const collectorUrl = urlOf(api);
  const runDirectory = join(data, 'run');
  await mkdir(runDirectory, { recursive: true, mode: 0o700 });
  const recording = await createRecording({
    directory: join(data, 'spool'),
    runDirectory,
    identity,
    delivery: createDirectDelivery(async (segment) => {
      const outcome = await collector.ingest(segment);
      if (outcome.kind === 'refused') throw new Error(`the collector refused a segment (${outcome.code})`);
      return outcome.receipt;
    }),
    logger,
  });
  const sessions = createSessions({
    control,
    recording,
    guard: createGuard({ allowLoopback: true, forbidden: [], virtual: [] }),
    clock: systemClock,
    logger,
  });
  const listeners = createListeners({
    mode: 'local',
    listen: options.listen,
    onConnection: (socket, resource: GrantedResource) => sessions.accept(socket, resource),
  });
  const { failed } = await listeners.apply(control.current());
  const [failure] = failed;
  if (failure !== undefined) {
    const { endpoint, code } = failure;
    throw new CliError(
      'PortInUse',
      `${endpoint.host}:${endpoint.port} cannot be listened on for ${endpoint.resource.namespace}/${endpoint.resource.name}: ${code}`,
    );
  }
  control.onSnapshot((snapshot) => void listeners.apply(snapshot));
  const sockets = listeners.open.map(({ resource, protocol, host, port }) => ({
    resource: `${resource.namespace}/${resource.name}`,
    protocol,
    address: `${host}:${port}`,
  }));
  await writeFile(join(data, 'collector.json'), `${JSON.stringify({ url: collectorUrl, token })}\n`, { mode: 0o600 });
  return {
    ready: { ready: true, resources: sockets, collector: collectorUrl, console: collectorUrl },
    problems: control.problems,
    stop: async () => {
      await listeners.stop();
      await sessions.stop();
      const left = await recording.flush(FLUSH_TIMEOUT_MS);
      await recording.stop();
      await control.stop();
      await new Promise<void>((resolve) => api.close(() => resolve()));
      await collector.close();
      await rm(join(data, 'collector.json'), { force: true });
      return left;
    },
  };
}

function listenApi(collector: Collector, { host, port }: { host: string; port: number }): Promise<ServerType> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: collector.fetch, hostname: host, port }, () => resolve(server));
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new CliError('PortInUse', `${host}:${port} cannot be listened on: ${error.code ?? 'error'}`, { cause: error })),
    );
  });
}

function urlOf(server: ServerType): string {
  const { address, port, family } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { resolve as absolute } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { nearest } from '@chaperone/api/text';
import {
  type Collector,
  type CollectorOptions,
  CONSOLE_DIRECTORY,
  createCollector,
  createTokenAccess,
  LinkSignIn,
  loadStaticFiles,
  LOCAL_IDENTITY,
} from '@chaperone/collector';
import { encodeNkey, parseRecipient, type Trust, trustIn } from '@chaperone/evidence';
import type { Agent, Snapshot } from '@chaperone/policy';
import {
  ControlPlaneError,
  createGuard,
  createListeners,
  createRecording,
  createSessions,
  type Listeners,
  type Logger,
  type ManifestControl,
  openHostKey,
  openManifestControl,
  systemClock,
} from '@chaperone/sidecar';
import { type ServerType, serve } from '@hono/node-server';
import { CliError, usage } from '../errors.ts';
import type { HostPort } from '../flags.ts';
import { clientLine } from './client-line.ts';
import { fileCounters } from './counters.ts';
import { deliveryTo } from './delivery.ts';
import { agentPaths, dataPaths, lockData, unusable, writePrivately } from './data-directory.ts';
import { localIdentity } from './identity.ts';
import { Killing } from './killing.ts';
import { killRoutes } from './kills.ts';
import { readSinks } from './sinks.ts';
import { othersReach } from './others.ts';
import { portOwner } from './port-owner.ts';
import { localRequests } from './request-source.ts';
import { foreignSite } from './same-site.ts';

/** How long an end waits for sessions to say goodbye, and then for their evidence to be stored. */
const SESSIONS_TIMEOUT_MS = 5_000;
const FLUSH_TIMEOUT_MS = 5_000;

/** Somebody looks for what was just done, and few sessions cost few segments. */
const SEAL_AFTER_MS = 500;

export interface UpOptions {
  readonly manifests: string;
  readonly agent: Agent;
  readonly listen: ReadonlyMap<string, HostPort>;
  readonly data: string;
  /** What a command line needs to be about this directory, wherever it is typed: ` --data /srv/shop`; empty where it is the default. */
  readonly place: string;
  readonly console: HostPort;
  /** Who reads what is recorded beside the collector. */
  readonly recipients: readonly string[];
  /** A file that says where events go. */
  readonly sinks?: string;
  readonly logger: Logger;
  /** A resource that was granted after the start is served. */
  readonly onOpened: (resource: ReadyResource) => void;
}

export interface ReadyResource {
  /** NAMESPACE/NAME */
  readonly resource: string;
  readonly protocol: string;
  /** HOST:PORT */
  readonly address: string;
  /** Of a database: its name. */
  readonly database?: string;
  /** For a shell, the line of a usual client that connects there. */
  readonly client?: string;
  /** Why no session can open there yet: a code. */
  readonly notReady?: string;
}

export interface Running {
  readonly ready: { readonly resources: readonly ReadyResource[]; readonly collector: string; readonly console: string };
  /** Ends every session, stores what can be stored in time, and lets go of everything. */
  stop(): Promise<{ unacknowledged: number }>;
}

/**
 * Starts sidecar and collector in this process, from manifest files, on local ports. What was begun is undone where the start
 * fails. Throws CliError, ControlPlaneError.
 */
export async function startUp(options: UpOptions): Promise<Running> {
  const { data, logger, agent, manifests } = options;
  const sinks = options.sinks === undefined ? [] : await readSinks(options.sinks);
  await using stack = new AsyncDisposableStack();
  stack.use(await lockData(data));
  const control = await openManifestControl({ directory: manifests, agent, data, clock: systemClock, logger }).catch(
    inData(data),
  );
  stack.defer(() => control.stop());
  demandGranted(options, control);
  const { identity, trust } = await localIdentity(data, agent, systemClock.now()).catch(inData(data));
  const token = randomBytes(24).toString('base64url');
  const signIn = new LinkSignIn(() => systemClock.now());
  const page = await openConsole(signIn, options.place);
  const collector = await openCollector(options, trust, {
    access: createTokenAccess(token),
    requests: localRequests(control.approvals, () => systemClock.now()),
    policies: control,
    sinks,
    ...(page === undefined ? {} : { console: page }),
  });
  stack.defer(() => collector.close());
  const killing = new Killing({ control, collector, token });
  const kills = killRoutes({ token, kill: (order) => killing.kill(order) });
  const api = await listenApi(collector, kills, options, page !== undefined);
  stack.defer(() => closeApi(api));

  let unacknowledged = 0;
  const recording = await openRecording(options, identity, collector);
  stack.defer(async () => {
    ({ unacknowledged } = await recording.flush(FLUSH_TIMEOUT_MS));
    await recording.stop();
  });
  const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });
  const hostKey = await openHostKey(data).catch(inData(data));
  await writeFile(dataPaths(data).knownHosts, hostKey.knownHosts()).catch(inData(data));
  const sessions = createSessions({
    control,
    recording,
    guard,
    clock: systemClock,
    logger,
    hostKey,
    local: true,
  });
  killing.sessions = sessions;
  stack.defer(() => Promise.race([sessions.stop(), delay(SESSIONS_TIMEOUT_MS, undefined, { ref: false })]));
  const listeners = createListeners({
    mode: 'local',
    listen: options.listen,
    onConnection: (socket, resource) => sessions.accept(socket, resource),
    onFull: (socket, resource) => sessions.refuse(socket, resource),
  });
  stack.defer(() => listeners.stop());
  const [failure] = (await listeners.apply(control.current())).failed;
  if (failure !== undefined) throw await cannotListen(failure.endpoint, failure.code);
  const resources = served(listeners, control.current(), data);
  for (const warning of othersReach(resources, agent)) logger.warn('reachable by others', warning);
  follow(options, control, listeners);

  const url = urlOf(api);
  const { address } = dataPaths(data);
  await writePrivately(address, `${JSON.stringify({ url, token, pid: process.pid })}\n`).catch(inData(data));
  stack.defer(() => rm(address, { force: true }));
  const owned = stack.move();
  return {
    ready: {
      resources,
      collector: url,
      console: page === undefined ? url : `${url}${signIn.newLink({ identity: LOCAL_IDENTITY, path: '/requests' }).link}`,
    },
    stop: async () => {
      await owned.disposeAsync();
      return { unacknowledged };
    },
  };
}

const DATA_FAULTS: ReadonlySet<string> = new Set(['AuthorityUnreadable', 'HashKeyUnreadable']);
/** The collector's own word for its index, with what mends it. */
function hasOwnCode(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'IndexUnreadable';
}

/** Faults of the data directory are said as such; faults of the manifests stay what they are. */
function inData(data: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof CliError || hasOwnCode(error)) throw error;
    if (error instanceof ControlPlaneError && !DATA_FAULTS.has(error.code)) throw error;
    throw unusable(data, error);
  };
}

function demandGranted({ listen, agent }: UpOptions, control: ManifestControl): void {
  const granted = (control.current()?.resources ?? []).map(
    ({ access }) => `${access.resource.namespace}/${access.resource.name}`,
  );
  for (const name of listen.keys()) {
    if (granted.includes(name)) continue;
    const near = nearest(name, granted);
    const hint = near === undefined ? '' : `; nearest: ${near}`;
    throw new CliError(
      'NotGranted',
      `--listen names ${name}, which ${agent.namespace}/${agent.serviceAccount} is not granted${hint}`,
      {
        fix: [`--listen takes one of: ${granted.join(', ')}`],
      },
    );
  }
}

/** The page and the way in; undefined in a checkout where the page was not built. */
async function openConsole(signIn: LinkSignIn, place: string): Promise<CollectorOptions['console']> {
  const files = await loadStaticFiles(CONSOLE_DIRECTORY);
  return files === undefined ? undefined : { files, signIn, place, now: () => systemClock.now() };
}

async function openCollector(
  { data, logger }: UpOptions,
  trust: Trust,
  what: Pick<CollectorOptions, 'access' | 'requests' | 'policies' | 'console' | 'sinks'>,
): Promise<Collector> {
  const directory = dataPaths(data).evidence;
  return createCollector({ directory, trust, logger, counters: fileCounters(data), ...what }).catch(inData(data));
}

async function openRecording(
  { data, agent, logger, recipients: others }: UpOptions,
  identity: Parameters<typeof createRecording>[0]['identity'],
  collector: Collector,
): ReturnType<typeof createRecording> {
  const { run, spool } = agentPaths(data, agent);
  const logPolicy = trustIn(collector.logKey);
  const recipients = [...collector.recipients, ...others].map(parseRecipient);
  try {
    return await createRecording({
      directory: spool,
      runDirectory: run,
      identity,
      recipients: () => recipients,
      delivery: deliveryTo(collector, encodeNkey(identity.nkey.publicKey)),
      logPolicy: () => logPolicy,
      // The statement lies in the run directory by then, which is as far from the collector as anything is in one process.
      tellCounter: () => Promise.resolve(),
      limits: { sealAfterMs: SEAL_AFTER_MS },
      logger,
    });
  } catch (error) {
    throw unusable(data, error);
  }
}

/** Serves what later snapshots grant, and says what is granted and cannot be used. */
function follow({ logger, data, onOpened }: UpOptions, control: ManifestControl, listeners: Listeners): void {
  const known = new Set(served(listeners, control.current(), data).map(({ resource }) => resource));
  const said = new Map<string, string>();
  const notServed = (resource: string): void => {
    const message = `${resource} is served no more: no policy in force lets the agent use it, or its owner grants it no more`;
    logger.warn('not served', { resource, code: 'ResourceNotNamed', message });
  };
  const serveGranted = async (snapshot: Snapshot): Promise<void> => {
    for (const { endpoint, code } of (await listeners.apply(snapshot)).failed) {
      const error = await cannotListen(endpoint, code);
      logger.error('cannot listen', { resource: nameOf(endpoint.resource), code: error.code, message: error.message });
    }
    const now = served(listeners, snapshot, data);
    for (const resource of now) if (!known.has(resource.resource)) onOpened(resource);
    for (const resource of known) if (!now.some((each) => each.resource === resource)) notServed(resource);
    known.clear();
    for (const { resource } of now) known.add(resource);
  };
  control.onSnapshot((snapshot) => {
    for (const { access, notReady } of snapshot.resources) {
      const resource = `${access.resource.namespace}/${access.resource.name}`;
      const message = notReady === undefined ? '' : `${resource} is not ready: ${notReady.message}`;
      if (notReady !== undefined && said.get(resource) !== message)
        logger.warn('not ready', { resource, code: notReady.code, message });
      said.set(resource, message);
    }
    // Never rejects: what cannot be opened is said.
    void serveGranted(snapshot);
  });
}

function served(listeners: Listeners, snapshot: Snapshot | undefined, data: string): ReadyResource[] {
  // Whoever pastes it may be in another directory.
  const { knownHosts } = dataPaths(absolute(data));
  return listeners.open.map(({ resource: { namespace, name }, protocol, host, port }) => {
    const found = snapshot?.resources.find(
      ({ access: { resource } }) => resource.namespace === namespace && resource.name === name,
    );
    const database = found?.postgres?.database;
    const client = clientLine({ protocol, host, port, database, knownHosts });
    return {
      resource: `${namespace}/${name}`,
      protocol,
      address: `${host.includes(':') ? `[${host}]` : host}:${port}`,
      ...(database === undefined ? {} : { database }),
      ...(client === undefined ? {} : { client }),
      ...(found?.notReady === undefined ? {} : { notReady: found.notReady.code }),
    };
  });
}

function nameOf({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}

/** Why a port cannot be listened on: somebody has it, or it is none of ours to take. */
async function cannotListen({ host, port }: HostPort, code: string): Promise<CliError> {
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (code === 'EADDRINUSE') {
    const owner = await portOwner(port);
    return new CliError('PortInUse', `${at} is in use by ${owner === undefined ? 'another program' : `process ${owner}`}`);
  }
  if (code === 'EACCES') return usage(`${at} cannot be listened on: ports below 1024 need root; choose another one`);
  return usage(`${at} cannot be listened on: this machine has no such address (${code})`);
}

const pageText = (
  place: string,
): string => `This is the collector of chaperone up. It keeps what agents did here, and what they ask for. Its page is not built: npm run build

  chaperone requests ls${place}           what waits for somebody to approve it
  chaperone sessions ls${place}           which sessions there were
  chaperone sessions replay ID${place}    what was asked, decided and seen
  chaperone verify ID${place}             proves that the evidence is complete and unchanged
`;

async function listenApi(
  collector: Collector,
  kills: ReturnType<typeof killRoutes>,
  { console: { host, port }, place }: UpOptions,
  hasPage: boolean,
): Promise<ServerType> {
  const fetch = (request: Request): Response | Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (/^\/v1\/(requests(\/|$)|kills$)/.test(pathname)) {
      const foreign = foreignSite({ header: (name) => request.headers.get(name) ?? undefined }, host);
      if (foreign !== undefined) return Response.json({ code: 'NotPermitted', message: foreign }, { status: 403 });
      if (pathname === '/v1/kills') return kills.fetch(request);
    }
    return !hasPage && pathname === '/' ? new Response(pageText(place)) : collector.fetch(request);
  };
  const server = serve({ fetch, hostname: host, port });
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    throw await cannotListen({ host, port }, (error as NodeJS.ErrnoException).code ?? 'error');
  }
}

async function closeApi(server: ServerType): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  if ('closeAllConnections' in server) server.closeAllConnections();
  await closed;
}

function urlOf(server: ServerType): string {
  const { address, port, family } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

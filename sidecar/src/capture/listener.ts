import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { GrantedResource, Snapshot } from '@chaperone/policy';
import { type AddressIndex, indexAddresses } from './addresses.ts';
import { errorCode } from './missing-family.ts';

/** Connections of agents to one endpoint at a time; an agent that needs more is told so by a refused connection. */
export const MAX_CONNECTIONS_PER_RESOURCE = 256;
/** Of these, connections on which the agent has not said anything yet: one more takes the place of the oldest. */
export const MAX_SILENT_PER_RESOURCE = 32;
/** How long a connection may stay silent; every protocol we serve lets the client, or its answer to our greeting, come first. */
export const SILENT_MS = 15_000;

export interface AcceptedConnection {
  (socket: Socket, resource: GrantedResource): void;
}

export interface Endpointed {
  readonly resource: { readonly namespace: string; readonly name: string };
  readonly protocol: string;
  readonly host: string;
  readonly port: number;
}

/** An endpoint that could not be opened: `code` is the system's (EADDRINUSE where the agent listens there itself). */
export interface ListenFailure {
  readonly endpoint: Endpointed;
  readonly code: string;
}

export interface Listeners {
  /** Opens what the snapshot grants and is not open, closes what it no longer grants. Never rejects; serialised. */
  apply(snapshot: Pick<Snapshot, 'resources'> | undefined): Promise<{ failed: readonly ListenFailure[] }>;
  /** What is open now. */
  readonly open: readonly Endpointed[];
  /** The index of the snapshot that was applied last. */
  readonly index: AddressIndex;
  /** Stops accepting. Connections that were handed over are their owner's. */
  stop(): Promise<void>;
}

export interface ListenerOptions {
  /**
   * virtual: each resource at its virtual addresses and real port · local: each at a port of its own on this machine, which is
   * `listen` ("NAMESPACE/NAME") where it names one, else any free port of 127.0.0.1.
   */
  readonly mode: 'virtual' | 'local';
  readonly listen?: ReadonlyMap<string, { host: string; port: number }>;
  readonly onConnection: AcceptedConnection;
  /** There is no room for this one. It is its taker's to say so and to close; default: it is reset. */
  readonly onFull?: AcceptedConnection;
  /** A connection was refused before it reached a session, and why. */
  readonly onRefused?: (code: 'NotGranted' | 'LimitReached' | 'TooManyConnections') => void;
  /** Overrides {@link SILENT_MS}. */
  readonly silentMs?: number;
}

interface Wanted {
  readonly key: string;
  readonly host: string;
  readonly port: number;
  /** Looks the resource of a connection up at the moment it is accepted, so that an old listener never serves an old grant. */
  readonly lookup: (socket: Socket) => GrantedResource | undefined;
  readonly endpoints: readonly Endpointed[];
}

/** Listens where granted resources live and hands each connection over with the resource it is for. */
export function createListeners(options: ListenerOptions): Listeners {
  const servers = new Map<string, { server: Server; endpoints: readonly Endpointed[] }>();
  const admit = createAdmission(options);
  let index = indexAddresses(undefined);
  let resources = new Map<string, GrantedResource>();
  let turn: Promise<unknown> = Promise.resolve();
  let stopped = false;

  const applyNow = async (snapshot: Pick<Snapshot, 'resources'> | undefined): Promise<{ failed: ListenFailure[] }> => {
    if (stopped) return { failed: [] };
    index = indexAddresses(snapshot);
    resources = new Map(snapshot?.resources.map((resource) => [nameOf(resource), resource]));
    const lookup = (socket: Socket): GrantedResource | undefined =>
      index.lookup(socket.localAddress ?? '', socket.localPort ?? 0);
    const list =
      options.mode === 'virtual'
        ? virtualListeners(index, lookup)
        : localListeners(resources.values(), (name) => resources.get(name), options.listen);
    const wanted = new Map(list.map((one) => [one.key, one]));
    for (const [key, { server }] of servers)
      if (!wanted.has(key)) {
        servers.delete(key);
        stopListening(server);
      }
    const failed: ListenFailure[] = [];
    for (const one of wanted.values()) {
      const running = servers.get(one.key);
      try {
        const server = running?.server ?? (await listen(one, admit));
        const bound = server.address();
        const port = bound !== null && typeof bound === 'object' ? bound.port : one.port;
        servers.set(one.key, { server, endpoints: one.endpoints.map((endpoint) => ({ ...endpoint, port })) });
      } catch (error) {
        failed.push(...one.endpoints.map((endpoint) => ({ endpoint, code: errorCode(error) })));
      }
    }
    return { failed };
  };

  return {
    apply: (snapshot) => {
      const result = turn.then(() => applyNow(snapshot));
      turn = result;
      return result;
    },
    get open() {
      return [...servers.values()].flatMap(({ endpoints }) => endpoints);
    },
    get index() {
      return index;
    },
    stop: async () => {
      stopped = true;
      await turn;
      for (const { server } of servers.values()) stopListening(server);
      servers.clear();
    },
  };
}

/**
 * One listener per IPv4 address and port. Linux lets nobody bind an IPv6 address that is only routed to this machine
 * (EADDRNOTAVAIL), so IPv6 has one wildcard listener per port; the lookup by local address refuses whoever comes in by an
 * address that is no resource's.
 */
function virtualListeners({ endpoints }: AddressIndex, lookup: Wanted['lookup']): Wanted[] {
  const groups = Map.groupBy(endpoints, ({ address, port }) => `${address.includes(':') ? '::' : address}#${port}`);
  return [...groups].map(([key, group]) => ({
    key,
    host: key.slice(0, key.lastIndexOf('#')),
    port: group[0]?.port ?? 0,
    lookup,
    endpoints: group.map(({ address, port, resource }) => endpointOf(resource, address, port)),
  }));
}

function localListeners(
  resources: Iterable<GrantedResource>,
  find: (name: string) => GrantedResource | undefined,
  overrides: ListenerOptions['listen'],
): Wanted[] {
  return [...resources].map((resource) => {
    const name = nameOf(resource);
    const { host, port } = overrides?.get(name) ?? { host: '127.0.0.1', port: 0 };
    return { key: name, host, port, lookup: () => find(name), endpoints: [endpointOf(resource, host, port)] };
  });
}

/** Decides on each accepted connection: for which resource it is, and whether there is room for it. */
function createAdmission(options: ListenerOptions): (socket: Socket, lookup: Wanted['lookup']) => void {
  const openByResource = new Map<string, Set<Socket>>();
  const refuse = (socket: Socket, code: 'NotGranted' | 'LimitReached'): void => {
    options.onRefused?.(code);
    socket.resetAndDestroy();
  };
  return (socket, lookup) => {
    // A peer may reset at any moment; whoever owns the socket hears it too, but nobody may be missing.
    socket.on('error', () => socket.destroy());
    const resource = lookup(socket);
    if (resource === undefined) return refuse(socket, 'NotGranted');
    const name = nameOf(resource);
    const open = openByResource.get(name) ?? new Set<Socket>();
    const silent = [...open].filter(({ bytesRead }) => bytesRead === 0);
    if (silent.length >= MAX_SILENT_PER_RESOURCE) {
      const [oldest] = silent;
      if (oldest !== undefined) {
        open.delete(oldest);
        refuse(oldest, 'LimitReached');
      }
    }
    if (open.size >= MAX_CONNECTIONS_PER_RESOURCE) {
      if (options.onFull === undefined) return refuse(socket, 'LimitReached');
      options.onRefused?.('TooManyConnections');
      return options.onFull(socket, resource);
    }
    openByResource.set(name, open.add(socket));
    const timer = setTimeout(() => {
      if (socket.bytesRead === 0) socket.destroy();
    }, options.silentMs ?? SILENT_MS);
    socket.on('close', () => {
      clearTimeout(timer);
      open.delete(socket);
      if (open.size === 0 && openByResource.get(name) === open) openByResource.delete(name);
    });
    options.onConnection(socket, resource);
  };
}

function nameOf({ access }: GrantedResource): string {
  return `${access.resource.namespace}/${access.resource.name}`;
}

function endpointOf({ access }: GrantedResource, host: string, port: number): Endpointed {
  const { namespace, name, protocol } = access.resource;
  return { resource: { namespace, name }, protocol, host, port };
}

async function listen(wanted: Wanted, admit: (socket: Socket, lookup: Wanted['lookup']) => void): Promise<Server> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, (socket) =>
    admit(socket, wanted.lookup),
  );
  server.listen({ host: wanted.host, port: wanted.port, ipv6Only: true });
  await once(server, 'listening');
  server.on('error', () => undefined);
  return server;
}

/** Connections live on in their sessions; this waits for none of them. The port is free when it returns. */
function stopListening(server: Server): void {
  server.close();
}

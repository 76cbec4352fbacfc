import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { matchResource, matchWord, parseResourceGlob, parseSegment, splitAddress } from '@chaperone/policy';
import { type Finding, listed, of, orOk, warn } from './checks.ts';
import type { Facts } from './facts.ts';

type Rule = AccessPolicy['spec']['rules'][number];
interface Door {
  readonly host: string;
  readonly port: number;
}
/** How a rule may lead to a place, and what it is called. */
interface Way {
  readonly called: string;
  readonly leads: (rule: Rule, via: ProtectedResource | undefined, to: readonly Door[]) => boolean;
}

/**
 * Ways by which one grant reaches the upstream of another resource beside its proxy: a forward through a host of SSH, a program on the
 * very host, a program or a tunnel in a pod, an open channel to the same address. Sidecars refuse forwards and tunnels by what the operator
 * tells them; that the policy lets them through at all is worth a look, since what runs behind such a door may dial on. Nobody sees what a
 * program does, so that only where it runs is told here.
 */
export function sideDoors(facts: Facts): readonly Finding[] {
  return of('side-doors', facts.resources, (resources) =>
    of('side-doors', facts.policies, (policies) => {
      const all = resources as unknown as readonly ProtectedResource[];
      const found = (policies as unknown as readonly AccessPolicy[]).flatMap((policy) =>
        policy.spec.rules.filter(({ effect }) => effect !== 'Deny').flatMap((rule) => doorsOf(policy, rule, all)),
      );
      return orOk(found, 'side-doors', 'no rule opens a way to a protected upstream beside its proxy');
    }),
  );
}

function doorsOf({ metadata: { namespace = '', name } }: AccessPolicy, rule: Rule, all: readonly ProtectedResource[]): Finding[] {
  const via = all.find(({ metadata }) => metadata.namespace === rule.resource.namespace && metadata.name === rule.resource.name);
  const guarded = all.filter((resource) => resource !== via && resource.spec.credentials !== undefined);
  return WAYS.flatMap(({ called, leads }) => {
    const reached = guarded.filter((resource) => leads(rule, via, placesOf(resource)));
    if (reached.length === 0) return [];
    const names = reached.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`);
    return [
      warn(
        'side-doors',
        `policy ${namespace}/${name}, rule "${rule.name}" lets through ${called} that reaches the upstream of ${listed(names)} beside its proxy`,
        'narrow the rule to hosts, namespaces, programs and ports that lead elsewhere',
      ),
    ];
  });
}

const WAYS: readonly Way[] = [
  {
    called: 'a forward',
    leads: ({ ssh }, _, to) => (ssh?.forward ?? []).some((glob) => to.some((door) => isForward(glob, door))),
  },
  {
    called: 'a program on the host',
    leads: ({ ssh }, via, to) =>
      via !== undefined && (ssh?.commands ?? ssh?.shell) !== undefined && to.some(({ host }) => host === upstreamOf(via).host),
  },
  {
    called: 'a way into pods',
    leads: ({ kubernetes }, _, to) =>
      kubernetes !== undefined && opensPods(kubernetes) && to.some((door) => isPodOf(kubernetes, door)),
  },
  {
    called: 'an open channel',
    leads: (_, via, to) => {
      if (via?.spec.protocol !== 'tcp') return false;
      const own = upstreamOf(via);
      return to.some(({ host, port }) => host === own.host && port === own.port);
    },
  },
];

/** Where a resource is: its upstream, and the names that agents know it by, which may lead there from elsewhere. */
function placesOf(resource: ProtectedResource): Door[] {
  const { hosts, port } = resource.spec;
  return [upstreamOf(resource), ...hosts.map((host) => ({ host: plainHost(host), port }))];
}

function upstreamOf({ spec }: ProtectedResource): Door {
  const { host, port } = splitAddress(spec.upstream.address);
  return { host: plainHost(host), port };
}

const plainHost = (host: string): string => host.toLowerCase().replace(/[.]$/, '');

/** `host:port`, where `*.NAME` is any name below it and port `*` any. */
function isForward(glob: string, { host, port }: Door): boolean {
  const at = glob.lastIndexOf(':');
  const wanted = glob.slice(at + 1);
  const name = plainHost(glob.slice(0, at).replace(/^\[(.*)\]$/, '$1'));
  if (wanted !== '*' && Number(wanted) !== port) return false;
  return name.startsWith('*.') ? host.endsWith(name.slice(1)) && host.length > name.length - 1 : name === host;
}

type Pods = NonNullable<Rule['kubernetes']>;

/** Whether something that dials on may run in a pod, or a port of one is reached. Files alone are no way. */
function opensPods({ verbs = [], resources = [], commands, shell, ports }: Pods): boolean {
  const runs = commands !== undefined || shell !== undefined;
  const opened = { exec: runs, attach: shell !== undefined, portforward: ports !== undefined };
  return Object.entries(opened).some(([verb, isNamed]) => {
    const isMeant = verbs.some((each) => each === '*' || each === verb);
    const subresource = verb as keyof typeof opened;
    return isNamed && isMeant && resources.some((pattern) => isOn(pattern, { group: '', resource: 'pods', subresource }));
  });
}

/** What cannot be read may be anything. */
function isOn(pattern: string, type: Parameters<typeof matchResource>[1]): boolean {
  const glob = parseResourceGlob(pattern);
  return glob === undefined || matchResource(glob, type);
}

/** Which pods serve a name of the cluster is not known; they are in its namespace, `pod.service.NAMESPACE.svc…`. */
function isPodOf({ namespaces }: Pods, { host }: Door): boolean {
  const [, namespace] = /^(?:[a-z0-9-]+\.){1,2}([a-z0-9-]+)\.svc(?:\.|$)/.exec(host) ?? [];
  if (namespace === undefined) return false;
  return namespaces === undefined || namespaces.some((glob) => matchWord(parseSegment(glob), namespace));
}

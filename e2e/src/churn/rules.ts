import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/testing';
import { AGENTS, DATA } from '../harness/shop.ts';
import { ANSWERS } from './traffic.ts';
import type { World } from './world.ts';

const POLICY = 'support-agent';
/** Until every sidecar runs what a policy says, while parts restart. */
const IN_FORCE_MS = 120_000;
/** So long what was changed stays. */
const STAYS_MS = 6_000;
/** The agent that is there all the time. */
export const ELDER = 'elder';

interface Conditions {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly observedGeneration?: number;
    }[];
  };
}

/** Waits until the object, as it is now, has the condition. */
async function hasCondition(
  world: World,
  at: readonly [kind: string, name: string, namespace: string],
  type: string,
): Promise<void> {
  const [kind, name, namespace] = at;
  await eventually(
    `${kind} ${name} to be ${type}`,
    async () => {
      const { metadata, status } = await world.json<Conditions>(kind, name, '-n', namespace);
      const found = status?.conditions?.find((each) => each.type === type);
      return found?.status === 'True' && found.observedGeneration === metadata.generation ? true : undefined;
    },
    IN_FORCE_MS,
  );
}
const inForce = (world: World): Promise<void> => hasCondition(world, ['accesspolicy', POLICY, AGENTS], 'Programmed');

/** Applies the policy with one text changed, holds agents to what that brings once all sidecars run it, and takes it back. */
async function change(
  world: World,
  [before, after]: readonly [string, string],
  answers: Readonly<Record<string, string>>,
): Promise<void> {
  const policy = world.shop.policy();
  if (!policy.includes(before)) throw new Error(`the policy has no "${before}"`);
  try {
    await world.apply(policy.replace(before, after));
    await inForce(world);
    const from = Date.now();
    await sleep(STAYS_MS);
    world.phases.push({ from, to: Date.now(), answers: { ...ANSWERS, ...answers } });
  } finally {
    await world.apply(policy);
    await inForce(world);
  }
}

export const changeMask = (world: World): Promise<void> =>
  change(world, ['strategy: {partial: {last: 4}}', 'strategy: {redact: {}}'], { masked: '= *****' });

export const narrow = (world: World): Promise<void> =>
  change(world, ['public.customers, public.tickets,', 'public.customers,'], {
    counted: 'refused NoRuleAllows',
    written: 'refused NoRuleAllows',
  });

/** Waits until the agent that is there all the time is answered, or is not, for something that it began now. */
async function elder(world: World, is: 'answered' | 'refused'): Promise<void> {
  const from = Date.now();
  const isSo = (): true | undefined => {
    const last = world.last(ELDER);
    if (last === undefined || last.from < from) return undefined;
    return last.what.includes(' = ') === (is === 'answered') && !/DeniedByRule|NoRuleAllows/.test(last.what) ? true : undefined;
  };
  await eventually(`${ELDER} to be ${is}`, isSo, IN_FORCE_MS);
}

export async function deletePolicy(world: World): Promise<void> {
  try {
    await world.kubectl(['delete', 'accesspolicy', POLICY, '-n', AGENTS, '--ignore-not-found']);
    await elder(world, 'refused');
  } finally {
    await world.apply(world.shop.policy());
    await inForce(world);
    await elder(world, 'answered');
  }
}

/** One that its schema refuses, and one that waits for a resource that is not there. */
export async function refusePolicies(world: World): Promise<void> {
  const other = world.shop.policy().replace(`name: ${POLICY}`, 'name: typo');
  await world
    .apply(other.replace('effect: Allow', 'effect: Permit'))
    .then(() => world.note('step', 'policy-refused', 'a policy that no schema allows was stored'))
    .catch((error: unknown) => {
      if (!/Unsupported value|invalid/i.test(String(error))) throw error;
    });
  await world.apply(other.replaceAll('name: orders-db', 'name: ordres-db'));
  try {
    await eventually(
      'a policy to miss its resource',
      async () => {
        const { status } = await world.json<Conditions>('accesspolicy', 'typo', '-n', AGENTS);
        return status?.conditions?.some(({ type, status: is }) => type === 'ResolvedRefs' && is === 'False') ? true : undefined;
      },
      IN_FORCE_MS,
    );
  } finally {
    await world.kubectl(['delete', 'accesspolicy', 'typo', '-n', AGENTS, '--ignore-not-found']);
  }
}

/** Another name of the same database. */
export async function addResource(world: World): Promise<void> {
  const name = 'orders-too';
  const named = (text: string): string => text.replaceAll('name: orders-db\n', `name: ${name}\n`);
  const resource = named(world.shop.resource()).replace('hosts: [orders-db, orders.data.svc]', `hosts: [${name}.data.svc]`);
  const policy = world.shop.policy().replace(`name: ${POLICY}`, `name: ${name}`).replaceAll('name: orders-db}', `name: ${name}}`);
  try {
    await world.apply(resource);
    await world.apply(policy);
    await hasCondition(world, ['accesspolicy', name, AGENTS], 'Programmed');
    await eventually(
      `an answer of ${name}`,
      async () => {
        const target = `host=${name}.data.svc dbname=orders user=bot connect_timeout=10`;
        const asked = ['exec', ELDER, '-n', AGENTS, '-c', 'bot', '--', 'psql', target, '-X', '-A', '-t', '-c'];
        const said = await world.kubectl([...asked, 'select ssn from customers where id = 1']);
        return said === '*******6789\n' ? true : undefined;
      },
      IN_FORCE_MS,
    );
  } finally {
    await world.kubectl(['delete', 'accesspolicy', name, '-n', AGENTS, '--ignore-not-found']);
    await world.kubectl(['delete', 'protectedresource', name, '-n', DATA, '--ignore-not-found']);
  }
}

export async function deleteResource(world: World): Promise<void> {
  try {
    await world.kubectl(['delete', 'protectedresource', 'orders-db', '-n', DATA, '--ignore-not-found']);
    await elder(world, 'refused');
  } finally {
    await world.apply(world.shop.resource());
    await hasCondition(world, ['protectedresource', 'orders-db', DATA], 'Ready');
    await inForce(world);
    await elder(world, 'answered');
  }
}

/** Runs SQL in the database itself. */
export async function inDatabase(world: World, sql: string): Promise<void> {
  const psql = ['psql', '-h', '/tmp', '-U', 'postgres', '-d', 'orders', '-v', 'ON_ERROR_STOP=1', '-q', '-c', sql];
  await world.kubectl(['exec', 'deployment/orders', '-n', DATA, '-c', 'postgres', '--', ...psql]);
}

/** The password as its owner changes it: first where it is asked for. */
export const rotateSecret = (world: World): Promise<void> =>
  world.alone(async () => {
    const next = `only-the-proxy-knows-this-${Date.now().toString(36)}`;
    await inDatabase(world, `alter role support_agent password '${next}'`);
    await sleep(1_000);
    await world.shop.setSecret(next);
    world.password = next;
    await elder(world, 'answered');
    await sleep(STAYS_MS);
  });

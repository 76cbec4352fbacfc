import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyPatch } from './apply-patch.test-support.ts';
import { injectPod } from './inject.ts';
import { matchesProfile, profileMismatch } from './match.ts';
import { patchPod } from './patch.ts';
import type { Container, Pod, PodSpec } from './pod.ts';
import { findProblems } from './problems.ts';
import { buildProfile, CONTAINER_NAMES, InjectionConfigError, injectedContainers, readCaptureMode } from './profile.ts';
import { aConfig, aContainer, aPod } from './sample.test-support.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');
const config = aConfig();
const inject = (pod: Pod): Pod => injectPod({ pod, config, inboundPorts: [] });

interface Golden {
  readonly pod: Pod;
  readonly defaultRunAsUser?: number;
  readonly inboundPorts?: number[];
}

const byNode = (pod: Pod): Pod => injectPod({ pod, config, inboundPorts: [8080], capture: 'node' });

describe('where an agent of the node writes the rules', () => {
  test('a pod is the one of the default mode without chaperone-init, and nothing in it has a right', () => {
    const pod = aPod();
    const [init, ...rest] = injectPod({ pod, config, inboundPorts: [8080] }).spec.initContainers ?? [];
    const injected = byNode(pod);
    expect(init?.name).toBe('chaperone-init');
    expect(injected).toEqual({ ...injected, spec: { ...injectPod({ pod, config }).spec, initContainers: rest } });
    expect(injected.metadata.annotations).toMatchObject({ 'chaperone.dev/inbound-ports': '8080' });
    for (const { securityContext } of [...rest, ...injected.spec.containers])
      expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } });
    expect(JSON.stringify(injected)).not.toContain('NET_ADMIN');
    expect(byNode(injected)).toEqual(injected);
    expect(matchesProfile(injected, buildProfile(config))).toBe(true);
  });

  test('chaperone-init goes when the mode changes, and comes back', () => {
    const [first, second] = [inject(aPod()), byNode(inject(aPod()))];
    expect(second.spec.initContainers?.map(({ name }) => name)).toEqual(['chaperone-sidecar', 'chaperone-verify']);
    expect(inject(second)).toEqual(first);
  });

  test.each<[string, (inits: readonly Container[]) => readonly Container[], string]>([
    [
      'chaperone-init further back',
      ([one, two]) => [one, two, injectedContainers(config)[0]] as Container[],
      'spec.initContainers[2]',
    ],
    ['another in front', (inits) => [aContainer({ name: 'own' }), ...inits], 'spec.initContainers[0]'],
    ['no chaperone-verify', ([one]) => [one] as Container[], 'spec.initContainers[1]'],
  ])('no pod is one with %s', (_what, change, path) => {
    const pod = byNode(aPod());
    const initContainers = change(pod.spec.initContainers ?? []);
    expect(profileMismatch({ ...pod, spec: { ...pod.spec, initContainers } }, buildProfile(config))).toBe(path);
  });

  test.each<[string, Record<string, string> | undefined, 'pod' | 'node', 'pod' | 'node']>([
    ['says nothing', undefined, 'node', 'node'],
    ['has its own', { 'chaperone.dev/capture': 'node' }, 'pod', 'node'],
    ['has its own, the other way', { 'chaperone.dev/capture': 'pod' }, 'node', 'pod'],
    ['says what is no mode', { 'chaperone.dev/capture': 'none' }, 'pod', 'pod'],
    ['says it with more behind it', { 'chaperone.dev/capture': 'node\r\n' }, 'pod', 'pod'],
    ['says nothing in a word', { 'chaperone.dev/capture': '' }, 'node', 'node'],
  ])('a namespace that %s', (_what, annotations, installed, mode) => {
    expect(readCaptureMode(annotations, installed)).toBe(mode);
  });

  test('the chart gives that agent the arguments of chaperone-init that are the installation’s', () => {
    const chart = readFileSync(join(import.meta.dirname, '../../../helm/test/testdata/node.yaml'), 'utf8');
    const init = injectedContainers(config)[0] as { args?: readonly string[] } | undefined;
    const args = (init?.args ?? []).filter((arg) => !arg.includes('$('));
    expect(args.length).toBe(7);
    for (const arg of args) expect(chart).toContain(`- ${arg}\n`);
  });
});

describe('golden pods', () => {
  const names = readdirSync(TESTDATA)
    .filter((name) => name.endsWith('.pod.json'))
    .map((name) => name.slice(0, -'.pod.json'.length));

  test('there are at least twelve', () => expect(names.length).toBeGreaterThanOrEqual(12));

  test.each(names)('%s', (name) => {
    const input = JSON.parse(readFileSync(join(TESTDATA, `${name}.pod.json`), 'utf8')) as Golden;
    const file = join(TESTDATA, `${name}.patch.json`);
    const patch = patchPod(input.pod, injectPod({ config, ...input }));
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(file, `${JSON.stringify(patch, undefined, 1)}\n`);
    expect(patch).toEqual(JSON.parse(readFileSync(file, 'utf8')));
    const patched = applyPatch(input.pod, patch);
    expect(patchPod(patched, injectPod({ config, ...input, pod: patched }))).toEqual([]);
    expect(matchesProfile(patched, buildProfile(config))).toBe(true);
  });
});

const names = fc.constantFrom(
  'bot',
  'tools',
  'chaperone-init',
  'chaperone-sidecar',
  'chaperone-x',
  'kube-api-access-abcde',
  'kube-api-access-chaperone',
  'data',
  'chaperone-identity',
  'chaperone-ca',
);
const mount = fc.record({
  name: names,
  mountPath: fc.constantFrom('/data', '/etc/chaperone', '/etc/ssh', '/var/run/secrets/kubernetes.io/serviceaccount', '/x'),
});
const port = fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom('http', 'none'));
const context = fc.record(
  {
    runAsUser: fc.constantFrom(0, 1000, 24_601),
    allowPrivilegeEscalation: fc.boolean(),
    privileged: fc.boolean(),
    capabilities: fc.record(
      { add: fc.subarray(['NET_ADMIN', 'SYS_PTRACE']), drop: fc.subarray(['ALL', 'NET_RAW']) },
      { requiredKeys: [] },
    ),
    seccompProfile: fc.record({ type: fc.constantFrom('RuntimeDefault', 'Unconfined') }),
  },
  { requiredKeys: [] },
);
const container = fc.record(
  {
    name: names,
    image: fc.constantFrom('a:1', config.image),
    env: fc.array(fc.record({ name: fc.constantFrom('PGSSLROOTCERT', 'HOME'), value: fc.string({ maxLength: 8 }) }), {
      maxLength: 2,
    }),
    volumeMounts: fc.array(mount, { maxLength: 3 }),
    ports: fc.array(fc.record({ name: fc.constantFrom('http'), containerPort: fc.integer({ min: 1, max: 65_535 }) }), {
      maxLength: 1,
    }),
    readinessProbe: fc.record({ httpGet: fc.record({ port }) }),
    securityContext: context,
    futureField: fc.jsonValue({ maxDepth: 1 }),
  },
  { requiredKeys: ['name'] },
) as fc.Arbitrary<Container>;
/** JSON, as the API server sends it. */
const pods = fc
  .record({
    metadata: fc.record(
      {
        name: fc.constant('p'),
        annotations: fc.dictionary(fc.constantFrom('a', 'chaperone.dev/inbound-ports', '__proto__'), fc.string({ maxLength: 5 })),
      },
      { requiredKeys: ['name'] },
    ),
    spec: fc.record(
      {
        containers: fc.array(container, { minLength: 1, maxLength: 3 }),
        initContainers: fc.array(container, { maxLength: 3 }),
        volumes: fc.array(fc.record({ name: names, emptyDir: fc.constant({}) }), { maxLength: 4 }),
        automountServiceAccountToken: fc.boolean(),
        terminationGracePeriodSeconds: fc.integer({ min: 0, max: 100 }),
        securityContext: fc.record(
          {
            sysctls: fc.array(
              fc.record({
                name: fc.constantFrom('net.ipv4.ping_group_range', 'kernel.shm_rmid_forced'),
                value: fc.constantFrom('1 0', '1'),
              }),
              { maxLength: 2 },
            ),
          },
          { requiredKeys: [] },
        ),
        restartPolicy: fc.constantFrom('Always', 'Never'),
      },
      { requiredKeys: ['containers'] },
    ) as fc.Arbitrary<PodSpec>,
  })
  .map((pod) => JSON.parse(JSON.stringify(pod)) as Pod);

/** What agents see of ours. */
const SHARED = ['chaperone-ca', 'chaperone-ssh'];

describe('whatever pod comes', () => {
  const options = { numRuns: 300, seed: 7 };

  test('patching twice is patching once', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const once = applyPatch(pod, patchPod(pod, inject(pod)));
        expect(patchPod(once, inject(once))).toEqual([]);
      }),
      options,
    );
  });

  test('the patched pod equals the profile, or validation refuses it', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const patched = inject(pod);
        const problems = findProblems({ pod, config, devices: [] });
        expect(matchesProfile(patched, buildProfile(config)) || problems.some(({ code }) => code === 'ReservedName')).toBe(true);
        expect(patched.spec.initContainers?.slice(0, 3).map(({ name }) => name)).toEqual([...CONTAINER_NAMES]);
      }),
      options,
    );
  });

  test('no container of the agent mounts what is the sidecar’s, nor keeps a token of the API server', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const { spec } = inject(pod);
        const agents = [...(spec.initContainers ?? []).slice(3), ...spec.containers];
        for (const { volumeMounts = [] } of agents)
          for (const { name, readOnly } of volumeMounts) {
            expect(name.startsWith('chaperone-') && !(SHARED.includes(name) && readOnly === true)).toBe(false);
            expect(name.startsWith('kube-api-access-') && name !== 'kube-api-access-chaperone').toBe(false);
          }
        expect(spec.automountServiceAccountToken).toBe(false);
      }),
      options,
    );
  });

  test('fields that this version does not know stay', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const after = inject(pod).spec.containers;
        expect(after.map(({ futureField }) => futureField)).toEqual(pod.spec.containers.map(({ futureField }) => futureField));
      }),
      options,
    );
  });
});

describe('an injected pod differs from the profile', () => {
  const injected = inject(aPod());
  const profile = buildProfile(config);
  const withInit = (index: number, mods: Partial<Container>): Pod => ({
    ...injected,
    spec: {
      ...injected.spec,
      initContainers: (injected.spec.initContainers ?? []).map((one, at) => (at === index ? { ...one, ...mods } : one)),
    },
  });
  const withVolume = (name: string, source: object): Pod => ({
    ...injected,
    spec: {
      ...injected.spec,
      volumes: (injected.spec.volumes ?? []).map((one) => (one.name === name ? { name, ...source } : one)),
    },
  });

  test('in nothing, as it was injected', () => expect(profileMismatch(injected, profile)).toBeUndefined());

  test.each<[string, Pod, string]>([
    ['by another image', withInit(1, { image: 'evil:1' }), 'spec.initContainers[1].image'],
    ['by other arguments', withInit(0, { args: ['--uid=1000'] }), 'spec.initContainers[0].args'],
    [
      'by an operator of somebody else',
      withInit(1, { env: [{ name: 'CHAPERONE_OPERATOR', value: 'evil:1' }] }),
      'spec.initContainers[1].env',
    ],
    ['by more privileges', withInit(1, { securityContext: { runAsUser: 0 } }), 'spec.initContainers[1].securityContext'],
    ['by a hook', withInit(1, { lifecycle: {} }), 'spec.initContainers[1].lifecycle'],
    ['by a restart policy that was lost', withInit(1, { restartPolicy: 'Never' }), 'spec.initContainers[1].restartPolicy'],
    ['by a mount', withInit(2, { volumeMounts: [] }), 'spec.initContainers[2].volumeMounts'],
    ['by its order', withInit(0, { name: 'first' }), 'spec.initContainers[0]'],
    ['by a volume', withVolume('chaperone-identity', { emptyDir: {} }), 'spec.volumes[1]'],
    ['by a token for the API server', withVolume('kube-api-access-chaperone', { projected: { sources: [] } }), 'spec.volumes[0]'],
    ['by a volume that is gone', { ...injected, spec: { ...injected.spec, volumes: [] } }, 'spec.volumes["chaperone-identity"]'],
    ['by being no injected pod', aPod(), 'spec.initContainers[0]'],
  ])('%s', (_name, pod, field) => expect(profileMismatch(pod, profile)).toBe(field));

  test('but resources and pull policy may differ', () => {
    expect(matchesProfile(withInit(1, { imagePullPolicy: 'Always', resources: {} }), profile)).toBe(true);
  });

  test('a profile without containers matches nothing', () => {
    expect(matchesProfile(injected, { ...profile, spec: { ...profile.spec, containers: [] } })).toBe(false);
  });
});

describe('containers', () => {
  test('have no privilege but NET_ADMIN in chaperone-init', () => {
    for (const { name, securityContext } of injectedContainers(config)) {
      expect(securityContext?.capabilities).toEqual(
        name === 'chaperone-init' ? { add: ['NET_ADMIN'], drop: ['ALL'] } : { drop: ['ALL'] },
      );
      expect(securityContext?.allowPrivilegeEscalation).toBe(false);
    }
  });

  test('follow the configured user everywhere', () => {
    const [init, sidecar] = injectedContainers(aConfig({ uid: 1_000_770_001 }));
    expect(init?.['args']).toContain('--uid=1000770001');
    expect(sidecar?.securityContext).toMatchObject({ runAsUser: 1_000_770_001, runAsGroup: 1_000_770_001 });
  });

  test('a readiness probe is there where the installation wants it', () => {
    expect(injectedContainers(aConfig({ readinessProbe: true }))[1]?.readinessProbe).toBeDefined();
    expect(injectedContainers(config)[1]?.readinessProbe).toBeUndefined();
  });

  test('a memory limit that no heap size can be made of is refused', () => {
    const resources = { cpuRequest: '10m', memoryRequest: '64Mi', memoryLimit: 'much' };
    expect(() => injectedContainers(aConfig({ resources }))).toThrow(InjectionConfigError);
  });

  test('keep what a LimitRange or another webhook changed from lasting', () => {
    const stamped = inject(aPod());
    const changed: Pod = {
      ...stamped,
      spec: {
        ...stamped.spec,
        initContainers: (stamped.spec.initContainers ?? []).map((one) => ({ ...one, resources: { limits: { cpu: '1' } } })),
      },
    };
    expect(inject(changed)).toEqual(stamped);
  });
});

test('a container that mounts something at our path keeps it, and is told of no file that is not there', () => {
  const pod = aPod({ containers: [aContainer({ volumeMounts: [{ name: 'data', mountPath: '/etc/chaperone' }] })] });
  const [bot] = inject(pod).spec.containers;
  expect(bot?.volumeMounts?.filter(({ mountPath }) => mountPath === '/etc/chaperone')).toEqual([
    { name: 'data', mountPath: '/etc/chaperone' },
  ]);
  expect(bot?.env?.map(({ name }) => name)).toEqual(['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT']);
});

const envOf = (pod: Pod): Record<string, unknown> =>
  Object.fromEntries((inject(pod).spec.containers[0]?.env ?? []).map(({ name, value }) => [name, value]));

describe('where clients look for the API of their own cluster', () => {
  test('is its Service by name, which the sidecar answers for', () => {
    expect(envOf(aPod())).toMatchObject({
      KUBERNETES_SERVICE_HOST: 'kubernetes.default.svc',
      KUBERNETES_SERVICE_PORT: '443',
    });
  });

  test('stays where the container says another place', () => {
    const env = [{ name: 'KUBERNETES_SERVICE_HOST', value: 'staging.corp' }];
    expect(envOf(aPod({ containers: [aContainer({ env })] }))['KUBERNETES_SERVICE_HOST']).toBe('staging.corp');
  });

  test('is not told to a pod that wants no token', () => {
    expect(envOf(aPod({ automountServiceAccountToken: false }))).not.toHaveProperty('KUBERNETES_SERVICE_HOST');
  });
});

describe('what SSH clients are told of whom they meet', () => {
  const FILE = '/etc/ssh/ssh_known_hosts2';
  const told = (...paths: string[]) => {
    const volumeMounts = paths.map((mountPath) => ({ name: 'data', mountPath }));
    const { spec } = inject(
      aPod({ containers: [aContainer({ volumeMounts })], initContainers: [aContainer({ name: 'setup' })] }),
    );
    const own = { name: 'chaperone-ssh', readOnly: true, mountPath: FILE, subPath: 'known_hosts' };
    expect(spec.initContainers?.at(-1)?.volumeMounts).toContainEqual(own);
    return (spec.containers[0]?.volumeMounts ?? []).some((one) => isDeepStrictEqual(one, own));
  };

  test.each([[[]], [['/etc/ssh/ssh_config.d']], [['/etc/sshd']], [['/data']]])(
    'stands in a container that mounts %j',
    (paths) => {
      expect(told(...paths)).toBe(true);
    },
  );
  test.each([[[FILE]], [['/etc/ssh']], [['/etc/ssh/']], [['/etc//ssh']], [['/data', '/etc']]])(
    'is left out where a mount of the container’s own, %j, may be read-only, as it would not start',
    (paths) => expect(told(...paths)).toBe(false),
  );
});

import type { KubeObject } from '@chaperone/kube';
import { describe, expect, test } from 'vitest';
import { capturedPod } from './pods.ts';
import { podsOf } from './processes.ts';

const UID = '0b1e2c3d-4f50-4617-8a9b-0c1d2e3f4a5b';
const sidecarAndVerify = [{ name: 'chaperone-sidecar' }, { name: 'chaperone-verify' }];

/** A pod of mode `node`; annotations, spec and status as its mods say. */
function aPod({ metadata = {}, spec = {}, status = {} }: Record<string, object> = {}): KubeObject {
  return {
    metadata: { name: 'bot', namespace: 'agents', uid: UID, ...metadata },
    spec: { initContainers: [...sidecarAndVerify, { name: 'own' }], ...spec },
    status: { phase: 'Pending', ...status },
  };
}
const isGoverned = (namespace: string): boolean => namespace === 'agents';

describe('rules are written for', () => {
  test('a governed pod without chaperone-init, with the ports that admission sealed', () => {
    const annotations = { 'chaperone.dev/inbound-ports': '8080,9090', 'chaperone.dev/probed-ports': '8081', other: 'x' };
    expect(capturedPod(aPod({ metadata: { annotations } }), isGoverned)).toEqual({
      uid: UID,
      name: 'agents/bot',
      inboundPorts: '8080,9090',
      probedPorts: '8081',
    });
    expect(capturedPod(aPod({ status: { phase: 'Running' } }), isGoverned)).toMatchObject({ inboundPorts: '', probedPorts: '' });
  });

  test.each<[string, Record<string, object>]>([
    ['a namespace that is not governed', { metadata: { namespace: 'outside' } }],
    ['a namespace by a name like a property of objects', { metadata: { namespace: '__proto__' } }],
    ['no namespace', { metadata: { namespace: undefined } }],
    ['chaperone-init in front', { spec: { initContainers: [{ name: 'chaperone-init' }, ...sidecarAndVerify] } }],
    ['chaperone-init further back', { spec: { initContainers: [...sidecarAndVerify, { name: 'chaperone-init' }] } }],
    ['another container in front', { spec: { initContainers: [{ name: 'own' }, ...sidecarAndVerify] } }],
    ['no chaperone-verify', { spec: { initContainers: [{ name: 'chaperone-sidecar' }, { name: 'own' }] } }],
    ['no init containers', { spec: { initContainers: undefined } }],
    ['the network of the node', { spec: { hostNetwork: true } }],
    ['an end that was good', { status: { phase: 'Succeeded' } }],
    ['an end that was bad', { status: { phase: 'Failed' } }],
    ['a UID that is none', { metadata: { uid: '../1' } }],
    ['a UID with more behind it', { metadata: { uid: `${UID}\n` } }],
    ['no UID', { metadata: { uid: undefined } }],
  ])('no pod with %s', (_what, mods) => {
    expect(capturedPod(aPod(mods), isGoverned)).toBeUndefined();
  });
});

describe('a cgroup says of which pod a process is', () => {
  const other = 'ffffffff-0000-4000-8000-000000000000';
  const systemd = UID.replaceAll('-', '_');
  test.each<[string, string, string[]]>([
    ['by the driver cgroupfs', `0::/kubepods/burstable/pod${UID}/f00d\n`, [UID]],
    [
      'by the driver systemd',
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${systemd}.slice/x.scope\n`,
      [UID],
    ],
    ['as seen from the cgroup namespace of another pod', `0::/../../besteffort/pod${UID}/f00d\n`, [UID]],
    ['in the first version, once for each hierarchy', `9:cpu:/kubepods/pod${UID}/f\n8:pids:/kubepods/pod${UID}/f\n`, [UID, UID]],
    ['inside of another cluster’s pod, outermost first', `0::/kubepods/pod${other}/x/kubepods/pod${UID}/f\n`, [other, UID]],
    ['not where there is none', '0::/system.slice/containerd.service\n', []],
    ['not by a part of a UID', `0::/kubepods/pod${UID.slice(0, -1)}/f\n`, []],
    ['not by a longer name', `0::/kubepods/pod${UID}0/f\n`, []],
    ['not where it cannot be read', '', []],
  ])('%s', (_what, text, uids) => {
    expect(podsOf(text)).toEqual(uids);
  });
});

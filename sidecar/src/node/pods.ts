import type { KubeObject } from '@chaperone/kube';

/** A pod whose rules a node agent writes. */
export interface CapturedPod {
  /** As the API server gave it: a UUID in lower case. */
  readonly uid: string;
  /** NAMESPACE/NAME, for people. */
  readonly name: string;
  /** What admission sealed: ports, comma-separated. */
  readonly inboundPorts: string;
  readonly probedPorts: string;
}

export const UID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const INBOUND_PORTS = 'chaperone.dev/inbound-ports';
const PROBED_PORTS = 'chaperone.dev/probed-ports';
/** How a pod of capture mode `node` begins; where `chaperone-init` is, that writes the rules. */
const SHAPE = ['chaperone-sidecar', 'chaperone-verify'] as const;

interface PodParts {
  readonly spec?: { readonly hostNetwork?: boolean; readonly initContainers?: readonly { readonly name: string }[] };
  readonly status?: { readonly phase?: string };
}

/**
 * What the rules of a pod are made of; undefined where none are to be written: it is not governed, `chaperone-init` writes them, it has
 * ended, or its network is the node's, in which no rule of a pod may ever stand.
 */
export function capturedPod(pod: KubeObject, isGoverned: (namespace: string) => boolean): CapturedPod | undefined {
  const { uid = '', namespace = '', name, annotations = {} } = pod.metadata;
  if (!UID.test(uid) || !isGoverned(namespace) || !waitsForRules(pod as PodParts)) return undefined;
  return {
    uid,
    name: `${namespace}/${name}`,
    inboundPorts: annotations[INBOUND_PORTS] ?? '',
    probedPorts: annotations[PROBED_PORTS] ?? '',
  };
}

function waitsForRules({ spec, status }: PodParts): boolean {
  if (spec?.hostNetwork === true || status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  const inits = spec?.initContainers ?? [];
  return SHAPE.every((own, index) => inits[index]?.name === own) && !inits.some(({ name }) => name === 'chaperone-init');
}

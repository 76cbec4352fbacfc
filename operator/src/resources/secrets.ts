import type { ProtectedResource } from '@chaperone/api';
import type { KubeObject } from '@chaperone/kube';
import { credentialSource, keysWanted } from '@chaperone/policy';
import type { Problem } from '@chaperone/policy/conditions';
import type { CredentialView, FoundCredential } from './source.ts';

/** A Secret that a resource refers to, as it was last seen. It exists in memory only and never prints its values. */
export class SecretView implements CredentialView {
  readonly keys: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly version: string;
  readonly #data: ReadonlyMap<string, string>;

  constructor(object: KubeObject) {
    const data = (object.data ?? {}) as Record<string, unknown>;
    const texts = Object.entries(data).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
    this.#data = new Map(texts);
    this.keys = texts.map(([key]) => key).toSorted();
    this.annotations = object.metadata.annotations ?? {};
    this.version = object.metadata.resourceVersion ?? '';
  }

  /** The value as text; undefined if the key is absent or not UTF-8. */
  text(key: string): string | undefined {
    const value = this.#data.get(key);
    if (value === undefined) return undefined;
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, 'base64'));
    } catch {
      return undefined;
    }
  }
}

/** Annotation of a credentials Secret that says for which upstream it is; it is sent nowhere else. */
export const UPSTREAM_ANNOTATION = 'chaperone.dev/upstream';

/** What a Secret is to the resource that names it. Pure. */
export function foundSecret(resource: ProtectedResource, view: SecretView | undefined): FoundCredential {
  const name = credentialSource(resource) ?? '';
  if (view !== undefined) return { view, absent: undefined, unbound: unbound(resource, name, view) };
  const message = `${name} does not exist; create it with keys ${keysWanted(resource.spec).join(' and ')}`;
  return { view, absent: { code: 'CredentialsNotFound', message }, unbound: undefined };
}

function unbound({ spec }: ProtectedResource, name: string, view: SecretView): Problem | undefined {
  const { address } = spec.upstream;
  const bound = view.annotations[UPSTREAM_ANNOTATION];
  if (bound === address) return undefined;
  const says = bound === undefined ? 'does not say for which upstream it is' : `is for ${bound.slice(0, 128)}`;
  return {
    code: 'NotBoundToUpstream',
    message: `${name} ${says}; annotate it with ${UPSTREAM_ANNOTATION}=${address} if it is for this upstream`,
  };
}

import { CREDENTIAL_KEYS } from '@chaperone/policy';
import type { KubeObject } from '@chaperone/kube';

/** A Secret that a resource refers to, as it was last seen. It exists in memory only and never prints its values. */
export class SecretView {
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

/** Whether two views of a Secret sign in as the same user by the same password and certificate. */
export function isSameLogin(a: SecretView, b: SecretView): boolean {
  return CREDENTIAL_KEYS.every((key) => a.text(key) === b.text(key));
}

/** Annotation of a credentials Secret that says for which upstream it is; it is sent nowhere else. */
export const UPSTREAM_ANNOTATION = 'chaperone.dev/upstream';

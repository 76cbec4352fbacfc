import type { ProtectedResource } from '@chaperone/api';
import { refusedPath, type VaultConfig } from '../vault/config.ts';
import { VaultClient } from '../vault/client.ts';
import { VaultSource } from '../vault/source.ts';
import type { NamedSecrets } from '../world.ts';
import { wantedSecrets } from './assess.ts';
import { foundSecret } from './secrets.ts';
import type { FoundCredential } from './source.ts';

/** Where the operator may find credentials. */
export interface SourcesOptions {
  readonly secrets: NamedSecrets;
  /** Undefined: the operator knows none. */
  readonly vault: VaultConfig | undefined;
  /** Something in Vault is another than before; Secrets tell that themselves. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

/** What resources sign in with, and the Secrets of their authorities, from wherever each is kept. */
export class Sources {
  readonly #secrets: NamedSecrets;
  readonly #config: VaultConfig | undefined;
  readonly #vault: VaultSource | undefined;

  constructor({ secrets, vault, onChange, onError }: SourcesOptions) {
    this.#secrets = secrets;
    this.#config = vault;
    this.#vault = vault && new VaultSource({ client: new VaultClient(vault), onChange, onError });
  }

  /** Follows what these name, and nothing else. A path of Vault that is not permitted to its namespace is not asked for. */
  want(resources: readonly ProtectedResource[]): void {
    this.#secrets.want(wantedSecrets(resources));
    this.#vault?.want(new Set(resources.flatMap((resource) => this.#path(resource) ?? [])));
  }

  /** What was not heard of yet is not absent: nothing is decided on it. */
  known(resource: ProtectedResource): boolean {
    const path = this.#path(resource);
    const heard = [...wantedSecrets([resource])].every((key) => this.#secrets.known(key));
    return heard && (path === undefined || this.#vault === undefined || this.#vault.known(path));
  }

  find(resource: ProtectedResource): FoundCredential | undefined {
    const { secretRef, vault } = resource.spec.credentials ?? {};
    if (secretRef !== undefined)
      return foundSecret(resource, this.#secrets.get(`${resource.metadata.namespace ?? ''}/${secretRef.name}`));
    if (vault === undefined) return undefined;
    const refused = refusedPath(this.#config, resource, vault.path);
    if (refused !== undefined || this.#vault === undefined) return { view: undefined, absent: refused, unbound: undefined };
    const { view, problem } = this.#vault.get(vault.path);
    return { view, absent: problem, unbound: undefined };
  }

  /** Lets what was lent end. */
  async close(): Promise<void> {
    await this.#vault?.close();
  }

  /** The path that it may use. */
  #path(resource: ProtectedResource): string | undefined {
    const path = resource.spec.credentials?.vault?.path;
    return path !== undefined && refusedPath(this.#config, resource, path) === undefined ? path : undefined;
  }
}

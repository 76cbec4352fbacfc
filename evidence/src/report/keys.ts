import type { Leaf } from '../log/leaf.ts';
import { KEY_TYPE } from '../log/vkey.ts';
import { type Found, type Reporter, type Row, Rows, type Seen } from './rows.ts';
import { timeOf } from '../time.ts';

/** Keys that signed, and the first that is seen of each. To whom data keys are wrapped is in no file: no report says it. */
export class Keys implements Reporter {
  readonly columns = ['kind', 'key', 'holder', 'number', 'since', 'entry', 'session'];
  readonly #rows = new Rows();
  readonly #known = new Set<string>();

  entry(leaf: Leaf, index: number): void {
    if (leaf.kind !== 'registration') return;
    const { nkey, issuedAt } = leaf.statement;
    this.#add(`logged ${nkey} ${issuedAt}`, ['registration in the log', nkey, null, null, timeOf(issuedAt), index, null]);
  }

  segment({ session, segment, agent }: Seen): void {
    const { signer, epoch, header } = segment;
    const holder = `${agent.namespace}/${agent.pod ?? agent.serviceAccount}`;
    const since = timeOf(signer.issuedAt);
    this.#add(`pod ${header.registration}`, ['pod key', signer.nkey, holder, null, since, null, session]);
    const from = timeOf(epoch.notBefore);
    this.#add(`epoch ${epoch.key} ${epoch.epoch}`, ['epoch key', epoch.key, signer.nkey, epoch.epoch, from, null, session]);
  }

  #add(name: string, row: Row): void {
    if (this.#known.has(name)) return;
    this.#known.add(name);
    this.#rows.add(row);
  }

  *rows({ file, policy, trust }: Found): Generator<Row> {
    for (const key of trust.enrolmentKeys) yield ['enrolment key that is believed', key, trust.origin, null, null, null, null];
    for (const { verifier } of policy.logs) {
      const { name, type, key } = verifier.key;
      if (type === KEY_TYPE.ed25519) yield ['log key that is believed', key.toString('base64url'), name, null, null, null, null];
    }
    for (const [name, at] of Object.entries(file.log?.witnesses ?? {}))
      yield ['witness of the checkpoint', name, null, null, at === null ? null : timeOf(at * 1000), null, null];
    yield* this.#rows.all;
  }
}

import { seededRandom } from '@chaperone/testing';

/** A value, and what an agent must see of it; made side by side, so that what must be seen is not worked out by any masker. */
export interface Pair {
  readonly raw: unknown;
  readonly shown: unknown;
}

const MARK = '*****';
const MARK64 = 'KioqKio=';
/** Stands in each value that must be hidden. */
export const CANARY = 'c4n4ry';
const MAIL = `${CANARY}@example.com`;
/** What clients know an object by stays, whatever it looks like. */
const NAME = 'mira.o@example.com';
const same = (value: unknown): Pair => ({ raw: value, shown: value });

/** Makes objects of all shapes that labels, built-in rules and the detector for e-mail reach; see FIELDS of objects.test-support.ts. */
export class Maker {
  readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** An object of the kind, or of any, as `kubectl get` would get it; without its kind, as items of lists are. */
  object(kind: string, isTyped = true, depth = 0): Pair {
    const type = isTyped ? { apiVersion: same('v1'), kind: same(kind) } : {};
    return this.#record({ ...type, metadata: this.#metadata(kind, depth), ...this.#content(kind, depth), status: this.#any(2) });
  }

  list(kind: string): Pair {
    const items = this.#many(4, () => this.object(kind, this.#flip()));
    const typed = Object.entries({ kind: `${kind}List`, apiVersion: 'v1' });
    const head = Object.fromEntries([...typed, ['metadata', { resourceVersion: '9007199254740993', continue: NAME }]]);
    return { raw: { ...head, items: items.map(({ raw }) => raw) }, shown: { ...head, items: items.map(({ shown }) => shown) } };
  }

  table(kind: string): Pair {
    const rows = this.#many(3, () =>
      this.#record({ cells: this.#array([this.#text(), same(3)]), object: this.object(kind, this.#flip()) }),
    );
    const head = {
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      columnDefinitions: [{ name: 'Name', description: 'a "name" [' }],
    };
    return { raw: { ...head, rows: rows.map(({ raw }) => raw) }, shown: { ...head, rows: rows.map(({ shown }) => shown) } };
  }

  event(kind: string): Pair {
    return this.#record({ type: same('ADDED'), object: this.object(kind) });
  }

  /** JSON of a value: with blanks and escapes where there may be some. */
  text(value: unknown): string {
    if (Array.isArray(value)) return `[${this.#blank()}${value.map((item) => this.text(item)).join(`${this.#blank()},`)}]`;
    if (typeof value === 'string') return this.#string(value);
    if (typeof value !== 'object' || value === null) return JSON.stringify(value);
    const members = Object.entries(value).map(
      ([key, item]) => `${this.#blank()}${this.#string(key)}${this.#blank()}:${this.text(item)}`,
    );
    return `{${members.join(`${this.#blank()},`)}${this.#blank()}}`;
  }

  #string(text: string): string {
    const json = JSON.stringify(text);
    if (this.random() < 0.8) return json;
    const escaped = Array.from(text, (char) =>
      char.length === 1 && this.#flip()
        ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
        : JSON.stringify(char).slice(1, -1),
    );
    return `"${escaped.join('')}"`;
  }

  #blank(): string {
    return this.#pick(['', '', '', ' ', '\n', '\t\r\n ']);
  }

  #content(kind: string, depth: number): Record<string, Pair> {
    const base64 = (): Pair => ({ raw: Buffer.from(CANARY.repeat(this.#below(5) + 1)).toString('base64'), shown: MARK64 });
    const hidden = (): Pair => ({ raw: `"${CANARY}\n${this.#below(99)}`, shown: MARK });
    switch (kind) {
      case 'Secret':
        return { data: this.#keyed(base64), stringData: this.#keyed(hidden), type: same('Opaque') };
      case 'ConfigMap':
        return {
          data: this.#record({ DB_URL: hidden(), 'DB_a.b': hidden(), 'app.yaml': this.#text() }),
          binaryData: this.#keyed(() => same('AAECAw==')),
        };
      case 'Widget':
        return {
          spec: this.#record({ users: this.#array(this.#many(3, () => this.#record({ token: hidden(), name: this.#text() }))) }),
        };
      default:
        return { spec: this.#record({ template: this.#template(), manifests: this.#manifests(depth), more: this.#any(3) }) };
    }
  }

  #manifests(depth: number): Pair {
    return this.#array(depth > 1 ? [] : this.#many(2, () => this.#nested(this.#pick(['Secret', 'ConfigMap']))));
  }

  /** Within another object: what its names are is not known. */
  #nested(kind: string): Pair {
    return this.#record({
      kind: same(kind),
      metadata: this.#record({ labels: this.#keyed(() => this.#text()) }),
      ...this.#content(kind, 9),
    });
  }

  #template(): Pair {
    const env = this.#many(4, () => {
      const name = this.#pick(['DB_PASSWORD', 'X_PASSWORD', 'LEVEL', 'PASSWORD_FILE']);
      return this.#record({ name: same(name), value: name.endsWith('_PASSWORD') ? { raw: CANARY, shown: MARK } : this.#text() });
    });
    return this.#record({
      metadata: this.#record({ annotations: this.#annotations({}) }),
      containers: this.#array([this.#record({ env: this.#array(env), args: this.#array([this.#text()]) })]),
    });
  }

  #metadata(kind: string, depth: number): Pair {
    const annotations: Record<string, Pair> = {};
    if (kind === 'Secret') annotations['example.com/what'] = { raw: CANARY, shown: MARK };
    if (depth < 2 && this.#flip()) {
      const { raw, shown } = this.object(kind, true, depth + 1);
      annotations['kubectl.kubernetes.io/last-applied-configuration'] = {
        raw: JSON.stringify(raw),
        shown: JSON.stringify(shown),
      };
    }
    return this.#record({
      name: same(NAME),
      uid: same('550e8400-e29b-41d4-a716-446655440000'),
      resourceVersion: same('9007199254740993'),
      labels: this.#keyed(() => this.#text()),
      annotations: this.#annotations(annotations),
    });
  }

  #annotations(more: Record<string, Pair>): Pair {
    return this.#record({
      'example.com/token-a': { raw: CANARY, shown: MARK },
      'meta.helm.sh/release-name': this.#text(),
      ...more,
    });
  }

  #text(): Pair {
    const text = this.#pick(['a', '', 'env', 'kind', '{', '[1', '"\\\n', 'ü€😀', 'Secret', 'null', '2026-11-01T10:00:00Z']);
    return this.#flip() ? same(text) : { raw: `${text} ${MAIL};${text}`, shown: `${text} ${MARK};${text}` };
  }

  #any(depth: number): Pair {
    const which = this.#below(depth > 0 ? 5 : 3);
    if (which === 0) return same(this.#pick([0, -1.5e-7, true, false, null, 9007199254740991]));
    if (which < 3) return this.#text();
    if (which === 3) return this.#array(this.#many(3, () => this.#any(depth - 1)));
    return this.#keyed(() => this.#any(depth - 1));
  }

  #keyed(make: () => Pair): Pair {
    const keys = ['a', 'b.c', 'dat', 'name', 'value', 'kin', 'é"\\', 'items', 'metadat', ''].filter(() => this.#flip());
    return this.#record(Object.fromEntries(keys.map((key) => [key, make()])));
  }

  /** In any order. */
  #record(members: Record<string, Pair>): Pair {
    const entries = Object.entries(members)
      .map((entry) => ({ entry, at: this.random() }))
      .toSorted((one, other) => one.at - other.at)
      .map(({ entry }) => entry);
    return {
      raw: Object.fromEntries(entries.map(([key, { raw }]) => [key, raw])),
      shown: Object.fromEntries(entries.map(([key, { shown }]) => [key, shown])),
    };
  }

  #array(items: readonly Pair[]): Pair {
    return { raw: items.map(({ raw }) => raw), shown: items.map(({ shown }) => shown) };
  }

  #many(most: number, make: () => Pair): Pair[] {
    return Array.from({ length: this.#below(most + 1) }, make);
  }

  #flip(): boolean {
    return this.random() < 0.5;
  }

  #below(end: number): number {
    return Math.floor(this.random() * end);
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T;
  }
}

/** Reading the JSON that libpg-query prints: every node is an object with one member, named as its C struct. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `{ SelectStmt: {…} }` → its tag and its fields. */
export function unwrap(node: unknown): { tag: string; fields: Fields } | undefined {
  if (!isFields(node)) return undefined;
  const [entry, ...rest] = Object.entries(node);
  if (!entry || rest.length > 0 || !isFields(entry[1])) return undefined;
  return { tag: entry[0], fields: entry[1] };
}

/** The fields of `node` when it has this tag. */
export function as(tag: string, node: unknown): Fields | undefined {
  const found = unwrap(node);
  return found?.tag === tag ? found.fields : undefined;
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The text of a String node. */
export function stringOf(node: unknown): string {
  return text(as('String', node)?.['sval']);
}

/** Texts of a list of String nodes; undefined when anything else is among them. */
export function strings(nodes: unknown): string[] | undefined {
  const all = list(nodes);
  return all.every((node) => as('String', node)) ? all.map(stringOf) : undefined;
}

/** Every object and array below `root`, in no particular order. No recursion: depth costs no stack. */
export function* descendants(root: unknown): Generator<Fields> {
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (Array.isArray(value)) for (const item of value as unknown[]) waiting.push(item);
    else if (isFields(value)) {
      yield value;
      waiting.push(Object.values(value).filter((member) => typeof member === 'object'));
    }
  }
}

/** Whether two trees are equal in all but the positions they give. No recursion, as above. */
export function equalTrees(a: unknown, b: unknown): boolean {
  const waiting: [unknown, unknown][] = [[a, b]];
  for (let pair = waiting.pop(); pair; pair = waiting.pop()) {
    const [one, other] = pair;
    if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
      if (one !== other) return false;
      continue;
    }
    if (Array.isArray(one) !== Array.isArray(other)) return false;
    const left = Object.entries(one).filter(isNoPosition);
    const right = new Map<string, unknown>(Object.entries(other).filter(isNoPosition));
    if (left.length !== right.size || !left.every(([key]) => right.has(key))) return false;
    for (const [key, value] of left) waiting.push([value, right.get(key)]);
  }
  return true;
}

function isNoPosition([key, value]: [string, unknown]): boolean {
  return key !== 'location' || typeof value !== 'number';
}

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';

/** From 1, as editors count. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export type Path = readonly (string | number)[];

/** One YAML document as plain values, with the way back to where each of them stands. */
export interface SourceDocument {
  readonly value: unknown;
  /** Where the value at `path` stands, or its key; for what is not there, the nearest thing around it. */
  readonly locate: (path: Path, part: 'key' | 'value') => Position;
}

export interface SourceFault extends Position {
  readonly message: string;
}

/** References to anchors that one document may resolve; a hundred is ample for people, and little for a bomb. */
const MAX_ALIASES = 100;

/** What the YAML library's codes mean to a person; its own messages may quote the file, which may hold secrets. */
const FAULTS: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'an alias names no anchor',
  BAD_INDENT: 'the indentation does not fit the lines around it',
  BAD_DQ_ESCAPE: 'a string in double quotes has an escape that does not exist',
  BAD_SCALAR_START: 'a value begins with a character that must be quoted',
  BLOCK_AS_IMPLICIT_KEY: 'a value stands where a key is expected; is a quote or a line break missing?',
  DUPLICATE_KEY: 'a key appears twice in one mapping; remove one',
  IMPOSSIBLE: 'the file cannot be read',
  MISSING_CHAR: 'a character is missing, such as a closing quote or bracket',
  MULTILINE_IMPLICIT_KEY: 'a key runs over several lines; is a colon or a quote missing?',
  RESOURCE_EXHAUSTION: 'too many aliases, or nested too deeply',
  TAB_AS_INDENT: 'a tab indents the line; use spaces',
  TAG_RESOLVE_FAILED: 'a tag is not known here; remove it',
  UNEXPECTED_TOKEN: 'something stands where nothing is expected',
};

/** Reads every document of a file. Nothing of the file's content is in the messages of faults. */
export function parseDocuments(text: string): { documents: SourceDocument[]; faults: SourceFault[] } {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const documents: SourceDocument[] = [];
  const faults: SourceFault[] = [];
  let parsed: Document[];
  try {
    const result = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent', version: '1.2' });
    parsed = Array.isArray(result) ? result : [];
  } catch {
    // The library recurses over nesting; what exhausts the stack is no manifest.
    return { documents, faults: [{ line: 1, column: 1, message: 'is not valid YAML: nested too deeply' }] };
  }
  for (const document of parsed) {
    const broken = [...document.errors, ...document.warnings];
    for (const { code, pos } of broken)
      faults.push({ ...at(pos[0]), message: `is not valid YAML: ${FAULTS[code] ?? 'something is out of place'}` });
    if (broken.length > 0) continue;
    try {
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
      documents.push({ value, locate: (path, part) => at(offsetOf(document, path, part)) });
    } catch {
      const where = at(startOf(document.contents) ?? 0);
      faults.push({ ...where, message: 'is not valid YAML: too many aliases, or nested too deeply' });
    }
  }
  return { documents, faults };
}

function offsetOf(document: Document, path: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, segment] of path.entries()) {
    const last = depth === path.length - 1;
    const container: unknown = isAlias(node) ? node.resolve(document) : node;
    if (isMap(container)) {
      const pair = container.items.find(({ key }) => keyText(key) === String(segment));
      if (pair === undefined) return offset;
      const key = startOf(pair.key) ?? offset;
      node = pair.value;
      offset = last && part === 'value' ? (startOf(node) ?? key) : key;
    } else if (isSeq(container) && typeof segment === 'number') {
      node = container.items[segment];
      offset = startOf(node) ?? offset;
    } else return offset;
  }
  return offset;
}

/** A key as it is named in plain values: an empty one is ''. */
function keyText(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined;
  const { value } = key;
  if (value === null || value === undefined) return '';
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

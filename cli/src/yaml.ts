import { Document, isMap, isNode, isScalar, Scalar, visit } from 'yaml';
import { INVISIBLE, visible } from '@chaperone/api/text';

/**
 * YAML of what JSON can hold, safe on a terminal: text with characters that would not be seen there is quoted, and they are written
 * as escapes, which changes no value. Readers of YAML 1.1 take it for the same.
 */
export function safeYaml(value: unknown): string {
  return rendered(new Document(value, { compat: 'yaml-1.1', aliasDuplicateObjects: false }));
}

/** Where a comment stands: above the item at a path, or, where that is empty, above the document. Each of its lines is foreign text. */
export interface Comment {
  readonly path: readonly (string | number)[];
  readonly lines: readonly string[];
}

/**
 * The same with comments, and with short lists and references on one line, as the examples are written. Lines of comments are made visible, so
 * that none can end its comment.
 */
export function manifestYaml(value: object, comments: readonly Comment[]): string {
  const document = new Document(value, { compat: 'yaml-1.1', aliasDuplicateObjects: false });
  visit(document, {
    Pair(_, { key, value: below }) {
      if (isMap(below) && isScalar(key)) below.flow = ON_ONE_LINE.has(String(key.value));
    },
    Seq(_, node) {
      node.flow = node.items.every((item) => isScalar(item)) && node.items.join(', ').length <= MAX_FLOW;
    },
  });
  for (const { path, lines } of comments) {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    if (isNode(node)) node.commentBefore = lines.map((line) => ` ${visible(line)}`).join('\n');
  }
  return rendered(document);
}

/** Maps of names that the examples write in one line. */
const ON_ONE_LINE: ReadonlySet<string> = new Set(['resource', 'approvers']);
/** Characters of a list that stands on one line. */
const MAX_FLOW = 90;

function rendered(document: Document): string {
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === 'string' && isUnseen(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document
    .toString({ lineWidth: 0, flowCollectionPadding: false })
    .replace(INVISIBLE, (character) => (character === '\n' ? character : escaped(character)));
}

function isUnseen(text: string): boolean {
  return text.replaceAll('\n', '').search(INVISIBLE) !== -1;
}

/** As double quotes take it. */
function escaped(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16);
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
}

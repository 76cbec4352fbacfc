import { Document, Scalar, visit } from 'yaml';
import { INVISIBLE } from './io.ts';

/**
 * YAML of what JSON can hold, safe on a terminal: text with characters that would not be seen there is quoted, and they are written
 * as escapes, which changes no value. Readers of YAML 1.1 take it for the same.
 */
export function safeYaml(value: unknown): string {
  const document = new Document(value, { compat: 'yaml-1.1', aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === 'string' && isUnseen(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document
    .toString({ lineWidth: 0 })
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

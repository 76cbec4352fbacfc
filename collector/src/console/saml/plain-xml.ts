// An answer comes from anybody, and XML parsers take longer than linear time over what is deep, unclosed or full of attributes: 90 KiB
// of open tags were seen to take a minute and a half. What providers send is far from these limits.

/** 256 groups have 256 elements; around them are some 40. */
const MAX_ELEMENTS = 600;
const MAX_DEPTH = 32;
/** Of one element. */
const MAX_ATTRIBUTES = 16;
/** Of all: some providers declare two namespaces on each group. */
const MAX_ALL_ATTRIBUTES = 2_000;

const NAME = String.raw`[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?`;
const VALUE = `(?:"[^"<]{0,4096}"|'[^'<]{0,4096}')`;
const TAG = new RegExp(String.raw`<(?<end>/?)(?<name>${NAME})(?<attributes>(?:\s+${NAME}\s*=\s*${VALUE})*)\s*(?<empty>/?)>`, 'y');
const ATTRIBUTE = new RegExp(String.raw`\s${NAME}\s*=\s*${VALUE}`, 'g');
const DECLARATION = /^<\?xml [^<>]{0,200}\?>/;
const FOREIGN_REFERENCE = /&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[\dA-Fa-f]{1,6});)/;

/**
 * Whether a text is one element of tags that are closed in order, with text between them: no DTD, comment, CDATA, instruction or
 * entity, of bounded depth and number. Takes linear time.
 */
export function isPlainXml(text: string): boolean {
  if (FOREIGN_REFERENCE.test(text)) return false;
  const open: string[] = [];
  let elements = 0;
  let allAttributes = 0;
  let at = DECLARATION.exec(text)?.[0].length ?? 0;
  for (;;) {
    const next = text.indexOf('<', at);
    if (next === -1) return elements > 0 && open.length === 0 && text.slice(at).trim() === '';
    // One root, and nothing but blanks around it.
    if (open.length === 0 && (elements > 0 || text.slice(at, next).trim() !== '')) return false;
    TAG.lastIndex = next;
    const { end, name, attributes = '', empty } = TAG.exec(text)?.groups ?? {};
    if (name === undefined) return false;
    at = TAG.lastIndex;
    if (end === '/') {
      if (open.pop() !== name || attributes !== '' || empty === '/') return false;
      continue;
    }
    const count = (attributes.match(ATTRIBUTE) ?? []).length;
    allAttributes += count;
    if (count > MAX_ATTRIBUTES || allAttributes > MAX_ALL_ATTRIBUTES || ++elements > MAX_ELEMENTS) return false;
    if (empty !== '/' && open.push(name) > MAX_DEPTH) return false;
  }
}

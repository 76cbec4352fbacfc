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
  const tags = new Tags();
  let at = DECLARATION.exec(text)?.[0].length ?? 0;
  for (;;) {
    const next = text.indexOf('<', at);
    const between = text.slice(at, next === -1 ? text.length : next);
    if (tags.depth === 0 && between.trim() !== '') return false;
    if (next === -1) return tags.complete;
    TAG.lastIndex = next;
    const tag = TAG.exec(text)?.groups;
    if (tag === undefined || !tags.take(tag)) return false;
    at = TAG.lastIndex;
  }
}

/** The tags of one element, as they come. */
class Tags {
  readonly #open: string[] = [];
  #elements = 0;
  #attributes = 0;

  get depth(): number {
    return this.#open.length;
  }

  get complete(): boolean {
    return this.#elements > 0 && this.depth === 0;
  }

  /** Whether a tag may stand here. */
  take({ end, name = '', attributes = '', empty }: Readonly<Record<string, string>>): boolean {
    if (end === '/') return this.#open.pop() === name && attributes === '' && empty === '';
    // One root.
    if (this.complete || !this.#mayCount(attributes)) return false;
    return empty === '/' || this.#open.push(name) <= MAX_DEPTH;
  }

  #mayCount(attributes: string): boolean {
    const count = (attributes.match(ATTRIBUTE) ?? []).length;
    this.#attributes += count;
    this.#elements++;
    return count <= MAX_ATTRIBUTES && this.#attributes <= MAX_ALL_ATTRIBUTES && this.#elements <= MAX_ELEMENTS;
  }
}

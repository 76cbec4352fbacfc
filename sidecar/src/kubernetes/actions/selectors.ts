/** Characters of a selector; the API server knows no limit but that of the address. */
const MAX_SELECTOR = 4_096;

const FIELD_TERM = /^([A-Za-z0-9._/[\]-]{1,253})(!=|==?)([A-Za-z0-9._:@/+~{}[\] -]{0,1024})$/;
const KEY = '(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const VALUE = '(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?';
const LABEL_TERM = new RegExp(
  `^(?:!?(${KEY})|(${KEY}) ?(?:==?|!=) ?(${VALUE})|(${KEY}) (?:in|notin) ?\\( ?(${VALUE}(?: ?, ?${VALUE}){0,63}) ?\\)|(${KEY}) ?[<>] ?[0-9]{1,18})$`,
);
/** Words of the grammar, which are read by their place. */
const WORDS: ReadonlySet<string | undefined> = new Set(['in', 'notin']);

export interface FieldSelector {
  /** The one name that it leaves. */
  readonly name: string | undefined;
  /** Paths that it compares: `spec.nodeName`. */
  readonly fields: readonly string[];
}

/** A field selector as the API server reads it; undefined: it has escapes, an empty term or something unusual, and is not read. */
export function readFieldSelector(text: string): FieldSelector | undefined {
  if (text.length > MAX_SELECTOR) return undefined;
  const fields: string[] = [];
  let name: string | undefined;
  for (const term of text === '' ? [] : text.split(',')) {
    const [, field, operator, value = ''] = FIELD_TERM.exec(term) ?? [];
    if (field === undefined) return undefined;
    fields.push(field);
    if (field !== 'metadata.name' || operator === '!=') continue;
    if (name !== undefined) return undefined;
    name = value;
  }
  return { name, fields };
}

/** Whether a label selector is one that the API server reads. Selectors narrow what is meant, so that nothing more is told of them. */
export function isLabelSelector(text: string): boolean {
  if (text.length > MAX_SELECTOR) return false;
  return text === '' || outerCommas(text).every(isLabelTerm);
}

/** Labels that a selector compares, or asks for. */
export function selectedLabels(text: string): string[] {
  return outerCommas(text).flatMap((term) => {
    const [, present, compared, , listed, , ordered] = LABEL_TERM.exec(term.trim()) ?? [];
    return present ?? compared ?? listed ?? ordered ?? [];
  });
}

function isLabelTerm(term: string): boolean {
  const found = LABEL_TERM.exec(term.trim());
  if (found === null) return false;
  const [, present, compared, value, listed, values = '', ordered] = found;
  const keys = [present, compared, listed, ordered];
  const words = [...keys, value, ...values.split(',').map((each) => each.trim())];
  return keys.every((key) => key === undefined || prefixFits(key)) && !words.some((word) => WORDS.has(word));
}

/** A DNS name has no empty parts, and none that begins or ends with a dash. */
function prefixFits(key: string): boolean {
  const prefix = key.includes('/') ? key.slice(0, key.indexOf('/')) : 'a';
  return prefix.split('.').every((part) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(part));
}

/** Terms between the commas that stand outside of brackets. */
function outerCommas(text: string): string[] {
  const terms: string[] = [];
  let from = 0;
  let isInside = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '(' || character === ')') isInside = character === '(';
    else if (character === ',' && !isInside) {
      terms.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...terms, text.slice(from)];
}

/** How COPY TO writes rows. */
export type CopyFormat =
  | { readonly kind: 'text'; readonly delimiter: number; readonly null: Buffer; readonly header: boolean }
  | {
      readonly kind: 'csv';
      readonly delimiter: number;
      readonly null: Buffer;
      readonly header: boolean;
      readonly quote: number;
      readonly escape: number;
    }
  | { readonly kind: 'binary' };

const OPTIONS: ReadonlySet<string> = new Set(['format', 'delimiter', 'null', 'header', 'quote', 'escape', 'force_quote']);
const NO = ['false', 'off', '0'];

/**
 * The format that the options of a COPY TO ask for; undefined where rows in it cannot be told apart here. Options are not checked
 * for what the server refuses.
 */
export function copyFormatOf(options: Readonly<Record<string, string>>): CopyFormat | undefined {
  if (Object.keys(options).some((name) => !OPTIONS.has(name))) return undefined;
  const kind = (options['format'] ?? 'text').toLowerCase();
  if (kind === 'binary') return { kind };
  if (kind !== 'text' && kind !== 'csv') return undefined;
  const csv = kind === 'csv';
  const quote = byteOf(options['quote'], '"');
  const delimiter = byteOf(options['delimiter'], csv ? ',' : '\t');
  const escape = options['escape'] === undefined ? quote : byteOf(options['escape'], '"');
  if (delimiter === undefined || quote === undefined || escape === undefined) return undefined;
  const header = options['header'] !== undefined && !NO.includes(options['header'].toLowerCase());
  const common = { delimiter, header, null: Buffer.from(options['null'] ?? (csv ? '' : String.raw`\N`)) };
  return csv ? { kind, ...common, quote, escape } : { kind, ...common };
}

function byteOf(option: string | undefined, otherwise: string): number | undefined {
  const bytes = Buffer.from(option ?? otherwise);
  return bytes.length === 1 && (bytes[0] ?? 128) < 128 ? bytes[0] : undefined;
}

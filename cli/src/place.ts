/** Flags that say where all is that a verb is about; those of a `chaperone up` know a directory alone. */
const PLACE = ['data', 'kubeconfig', 'context', 'cluster', 'user', 'namespace'] as const;
const LOCAL: ReadonlySet<string> = new Set(['up', 'console']);
/** A hint that ends in a command line of such a verb. */
const COMMAND = /^(.*?\b)?(?:kubectl )?chaperone (?=(up|approve|deny|requests|grants|sessions|verify|console)\b)/;

export type PlaceFlags = Readonly<Record<string, unknown>>;

/** A word as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** What makes another command line be about the same place: ` --data shop`; empty where nothing was said. */
export function placeOf(flags: PlaceFlags): string {
  return PLACE.flatMap((name) => {
    const value = flags[name];
    return typeof value === 'string' ? ` --${name} ${shellWord(value)}` : [];
  }).join('');
}

/** A hint whose command works when it is pasted: of the program as it was called, about the same place. */
export function placed(hint: string, program: string, flags: PlaceFlags): string {
  const verb = COMMAND.exec(hint)?.[2];
  if (verb === undefined) return hint;
  const isLocal = LOCAL.has(verb);
  const place = placeOf(isLocal ? { data: flags['data'] } : flags);
  return `${hint.replace(COMMAND, `$1${isLocal ? 'chaperone' : program} `)}${place}`;
}

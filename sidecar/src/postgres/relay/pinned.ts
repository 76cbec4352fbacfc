/**
 * Settings that must not be the agent's to choose. The first four let the server print the tree of every statement into this
 * session; the others make our parser read text exactly as the server does.
 */
export const PINNED_SETTINGS: Readonly<Record<string, string>> = {
  debug_print_rewritten: 'on',
  debug_pretty_print: 'off',
  client_min_messages: 'log',
  debug_print_parse: 'off',
  debug_print_plan: 'off',
  standard_conforming_strings: 'on',
  backslash_quote: 'safe_encoding',
  transform_null_equals: 'off',
  quote_all_identifiers: 'off',
};

/** Settings that an agent may bring in its startup packet or its `options`, as SET may change them later. */
const ALLOWED_AT_START: ReadonlySet<string> = new Set([
  'application_name',
  'datestyle',
  'timezone',
  'intervalstyle',
  'extra_float_digits',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
]);

export type StartParameters =
  | { readonly ok: true; readonly parameters: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly code: 'SettingPinned' | 'DatabaseNotServed'; readonly reason: string };

/**
 * What goes into our own startup packet: the agent's harmless settings, ours, and nothing else of it.
 * @param agent parameters of the agent's startup packet
 */
export function startParameters(
  agent: ReadonlyMap<string, string>,
  database: string,
  searchPath: readonly string[],
): StartParameters {
  const wanted = agent.get('database') ?? agent.get('user') ?? '';
  if (wanted !== database)
    return { ok: false, code: 'DatabaseNotServed', reason: `this address serves database "${database}" only` };
  const encoding = agent.get('client_encoding');
  if (encoding !== undefined && !/^'?utf-?8'?$/i.test(encoding) && encoding.toLowerCase() !== 'unicode') {
    return { ok: false, code: 'SettingPinned', reason: 'client_encoding is UTF8 here' };
  }
  const parameters: Record<string, string> = {};
  const settings = [...agent].filter(([name]) => !NOT_SETTINGS.has(name.toLowerCase()));
  const options = readOptions(agent.get('options') ?? '');
  if (options === undefined) return { ok: false, code: 'SettingPinned', reason: 'options may hold "-c name=value" only' };
  for (const [name, value] of [...settings, ...options]) {
    const lower = name.toLowerCase();
    if (lower === 'search_path' && samePath(value, searchPath)) continue;
    if (!ALLOWED_AT_START.has(lower)) return { ok: false, code: 'SettingPinned', reason: `${lower} is set by the resource` };
    parameters[name] = value;
  }
  return {
    ok: true,
    parameters: {
      ...parameters,
      database,
      client_encoding: 'UTF8',
      options: optionsText({ ...PINNED_SETTINGS, search_path: searchPath.map(quoteIdentifier).join(',') }),
    },
  };
}

const NOT_SETTINGS: ReadonlySet<string> = new Set(['user', 'database', 'client_encoding', 'options']);

/** `-c name=value …` as the server splits it: blanks separate, a backslash takes the next character as it is. */
export function optionsText(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\\s]/g, '\\$&')}`)
    .join(' ');
}

function readOptions(text: string): [string, string][] | undefined {
  const words: string[] = [];
  let word = '';
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '\\') word += text.charAt(++at);
    else if (/\s/.test(character)) {
      if (word !== '') words.push(word);
      word = '';
    } else word += character;
  }
  if (word !== '') words.push(word);
  const found: [string, string][] = [];
  for (let at = 0; at < words.length; at++) {
    const given = words[at] as string;
    const setting =
      given === '-c'
        ? words[++at]
        : given.startsWith('-c')
          ? given.slice(2)
          : given.startsWith('--')
            ? given.slice(2)
            : undefined;
    const equals = setting?.indexOf('=') ?? -1;
    if (setting === undefined || equals < 1) return undefined;
    found.push([setting.slice(0, equals).replaceAll('-', '_'), setting.slice(equals + 1)]);
  }
  return found;
}

function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function samePath(value: string, searchPath: readonly string[]): boolean {
  const names = value.split(',').map((name) => name.trim().replace(/^"(.*)"$/, '$1'));
  return names.length === searchPath.length && names.every((name, at) => name === searchPath[at]);
}

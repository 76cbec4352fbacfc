/** Colour is never the only carrier of what it says: the words are the same without it. */
export const COLOUR_WHEN = ['auto', 'always', 'never'] as const;
export type ColourWhen = (typeof COLOUR_WHEN)[number];

const STYLES = { good: '32', warn: '33', bad: '31' } as const;
export type Style = keyof typeof STYLES;
/** Gives text its colour, or leaves it as it is. Text that is foreign is made visible before, since this adds control characters. */
export type Paint = (style: Style | undefined, text: string) => string;

export const plain: Paint = (_, text) => text;

/** Whether output has colour: `auto` means on a terminal that has not asked to be spared. https://no-color.org */
export function wantsColour(when: ColourWhen, env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): boolean {
  if (when !== 'auto') return when === 'always';
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

export function painter(enabled: boolean): Paint {
  return enabled ? (style, text) => (style === undefined ? text : `\u001b[${STYLES[style]}m${text}\u001b[0m`) : plain;
}

/** What --color says, also where the command line as a whole is wrong. */
export function colourWhen(argv: readonly string[]): ColourWhen {
  let found: string | undefined;
  for (const [at, arg] of argv.entries()) {
    if (arg === '--') break;
    if (arg === '--color') found = argv[at + 1];
    else if (arg.startsWith('--color=')) found = arg.slice('--color='.length);
  }
  return COLOUR_WHEN.find((when) => when === found) ?? 'auto';
}

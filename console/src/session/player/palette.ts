/** Colours of a terminal as red, green and blue, 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

export interface Palette {
  readonly ground: Rgb;
  readonly text: Rgb;
  /** Black, red, green, yellow, blue, magenta, cyan, white, then the same bright. */
  readonly basic: readonly Rgb[];
}

const rgb = (hex: string): Rgb => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb;
const palette = (ground: string, text: string, basic: string): Palette => ({
  ground: rgb(ground),
  text: rgb(text),
  basic: basic.split(' ').map(rgb),
});

/** On the sunk ground of each theme, in its hues. */
export const PALETTES: Readonly<Record<'light' | 'dark', Palette>> = {
  light: palette(
    'f4f6f8',
    '12171d',
    '12171d b0231b 17683a 8a4f00 0a5aa8 5a3da6 0b6470 7d8794 535c68 c4372e 1f7d48 9a5c08 2a6fc0 7250bf 137582 3a434d',
  ),
  dark: palette(
    '161b21',
    'e7eaee',
    '2b333c ff8d84 6ccf92 efb45a 7db7ff bba8ff 6fd0dc d0d6dd 8b96a3 ffaaa3 93e0b0 f7cb85 a3ccff d2c5ff 9ae2eb ffffff',
  ),
};

/** The steps of a colour in the cube of 6×6×6 that follows the first 16 of 256. */
const STEPS = [0, 95, 135, 175, 215, 255];

/** One of 256 colours as xterm has them. */
export function indexed({ basic, text }: Palette, index: number): Rgb {
  if (index < 16) return basic[index] ?? text;
  if (index >= 232) return [8 + 10 * (index - 232), 8 + 10 * (index - 232), 8 + 10 * (index - 232)];
  const at = index - 16;
  return [STEPS[Math.floor(at / 36)] ?? 0, STEPS[Math.floor(at / 6) % 6] ?? 0, STEPS[at % 6] ?? 0];
}

/** Text on any ground is told from it at least so well (WCAG 2.2, 1.4.3): what is recorded cannot be hidden by its colour. */
const MIN_CONTRAST = 4.5;

/** `text`, or black or white where it could not be read on `ground`. */
export function readable(text: Rgb, ground: Rgb): Rgb {
  if (contrast(text, ground) >= MIN_CONTRAST) return text;
  const [black, white]: Rgb[] = [
    [0, 0, 0],
    [255, 255, 255],
  ];
  return contrast(black ?? text, ground) >= contrast(white ?? text, ground) ? (black ?? text) : (white ?? text);
}

export function contrast(one: Rgb, other: Rgb): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].toSorted((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

function luminance(colour: Rgb): number {
  const [red = 0, green = 0, blue = 0] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** A colour as styles have it. */
export function css([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

import type { JSX } from 'preact';
import { counted, lengthOf, offsetOf } from '../time.ts';
import { type Entry, stands, VIEWS } from './entries.ts';

const SLICES = 120;
const WIDTH = 960;
const HEIGHT = 48;
const BASE = 34;

interface Slice {
  count: number;
  denied: number;
  held: number;
  errors: number;
  masked: number;
  /** The first entry somebody would stop at, or else the first one. */
  first: number;
}

function slicesOf(entries: readonly Entry[], lengthMs: number): Slice[] {
  const slices = Array.from({ length: SLICES }, (): Slice => ({ count: 0, denied: 0, held: 0, errors: 0, masked: 0, first: -1 }));
  for (const [at, entry] of entries.entries()) {
    const slice = slices[Math.max(0, Math.min(SLICES - 1, Math.floor((entry.mono / lengthMs) * SLICES)))];
    if (slice === undefined) continue;
    const before = entries[slice.first];
    if (slice.first < 0 || (stands(entry) && before !== undefined && !stands(before))) slice.first = at;
    if (entry.kind !== 'action') continue;
    slice.count++;
    if (VIEWS.denied(entry)) slice.denied++;
    if (VIEWS.held(entry)) slice.held++;
    if (VIEWS.errors(entry)) slice.errors++;
    if (VIEWS.masked(entry)) slice.masked++;
  }
  return slices;
}

/** Where nothing is known, from the record before to the record behind. */
function gapsOf(entries: readonly Entry[], length: number): { from: number; to: number }[] {
  return entries.flatMap((entry, at) => {
    if (entry.kind !== 'gap') return [];
    const to = entries[at + 1]?.mono ?? length;
    return [{ from: (entry.mono / length) * WIDTH, to: (to / length) * WIDTH }];
  });
}

interface TimelineProps {
  readonly entries: readonly Entry[];
  readonly lengthMs: number;
  readonly selected: Entry | undefined;
  readonly onSelect: (index: number) => void;
}

/** When things happened: bars are actions, marks above them what was refused or held, hatching what is missing. */
export function Timeline({ entries, lengthMs, selected, onSelect }: TimelineProps): JSX.Element {
  const length = Math.max(1, lengthMs, entries.at(-1)?.mono ?? 0);
  const slices = slicesOf(entries, length);
  const most = Math.max(1, ...slices.map(({ count }) => count));
  const step = WIDTH / SLICES;
  const choose = (event: MouseEvent): void => {
    const target = event.currentTarget;
    if (!(target instanceof Element)) return;
    const { left, width } = target.getBoundingClientRect();
    const wanted = Math.floor(((event.clientX - left) / width) * SLICES);
    // The nearest slice that has something: bars are narrow, fingers are not.
    const near = slices
      .map(({ first }, at) => ({ first, far: Math.abs(at - wanted) }))
      .filter(({ first }) => first >= 0)
      .toSorted((a, b) => a.far - b.far)[0];
    if (near !== undefined) onSelect(near.first);
  };
  return (
    <figure class="timeline">
      {/* The list has the same entries in order, and the keys: this picture is for pointers. */}
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${counted(entries.filter(({ kind }) => kind === 'action').length, 'action')} in ${lengthOf(length)}`}
        onClick={choose}
      >
        <defs>
          <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect class="hatch" width="2.5" height="6" />
          </pattern>
        </defs>
        <line class="axis" x1="0" x2={WIDTH} y1={BASE + 0.5} y2={BASE + 0.5} />
        {gapsOf(entries, length).map(({ from, to }) => (
          <rect key={from} x={from} y="2" width={Math.max(6, to - from)} height={BASE - 2} fill="url(#hatch)" />
        ))}
        {slices.map(({ count, denied, held, errors, masked }, at) => (
          <g key={at}>
            {count > 0 && (
              <Bar at={at} count={count} most={most} look={denied > 0 ? 'deny' : held > 0 ? 'held' : errors > 0 ? 'error' : ''} />
            )}
            {masked > 0 && <rect class="mask-tick" x={at * step + 1} y={BASE + 3} width={step - 2} height="4" />}
          </g>
        ))}
        {selected !== undefined && (
          <line class="cursor" x1={(selected.mono / length) * WIDTH} x2={(selected.mono / length) * WIDTH} y1="0" y2={HEIGHT} />
        )}
      </svg>
      <figcaption>
        <span>{offsetOf(0)}</span>
        <span>{offsetOf(length)}</span>
      </figcaption>
    </figure>
  );
}

function Bar({ at, count, most, look }: { at: number; count: number; most: number; look: string }): JSX.Element {
  const step = WIDTH / SLICES;
  const x = at * step + 1;
  // What was refused reaches the top and has a head, so that it stands out without its colour.
  const height = look === 'deny' ? BASE - 2 : Math.max(4, ((BASE - 8) * Math.log1p(count)) / Math.log1p(most));
  return (
    <>
      <rect class={`bar ${look}`} x={x} y={BASE - height} width={step - 2} height={height} />
      {look === 'deny' && <rect class="bar deny" x={x - 3} y="0" width={step + 4} height="5" />}
    </>
  );
}

import type { AccessRequest } from '@chaperone/api';
import { isOfKubernetes, LOOKING_WORDS, metCount, showsWhatItMeets, stateOf } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { Mark } from '../ui/verdict.tsx';
import { type Group, type Row, toggleGroup } from './alike.ts';
import { EffectLine, STATE_LOOKS, stateWord } from './effect.tsx';
import { Left } from './left.tsx';
import { keyOf } from './live.ts';
import { useLooking } from './looking.ts';

/** Lists up to this length are drawn whole: the browser's own find and readers see all of them. */
const WHOLE = 200;
const MARGIN_ROWS = 15;

export interface RowsProps {
  readonly rows: readonly Row[];
  readonly label: string;
  readonly heads: readonly string[];
  /** The row that has the focus, or had it last: it is always drawn. */
  readonly chosen: string | undefined;
  readonly onChoose: (id: string) => void;
  readonly onBusy: (what: 'pointer' | 'focus', busy: boolean) => void;
}

/** Requests, one line each, alike ones as one. Of a long list only what is near the view is drawn, in rows of one height. */
export function RequestRows({ rows, label, heads, chosen, onChoose, onBusy }: RowsProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const view = useView(box, rows.length > WHOLE);
  const at = rows.findIndex(({ id }) => id === chosen);
  const drawn = indices(rows.length, view, at);
  const focus = (event: { currentTarget: EventTarget; relatedTarget?: EventTarget | null }): void => {
    const next = event.relatedTarget;
    if (!(next instanceof Node && event.currentTarget instanceof Node && event.currentTarget.contains(next)))
      onBusy('focus', false);
  };
  return (
    <div
      class={view === undefined ? 'requests' : 'requests virtual-rows'}
      role="table"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      onMouseEnter={() => onBusy('pointer', true)}
      onMouseLeave={() => onBusy('pointer', false)}
      onFocusCapture={() => onBusy('focus', true)}
      onBlurCapture={focus}
    >
      <div class="requests-head" role="rowgroup">
        <div class="request-row" role="row" aria-rowindex={1}>
          {heads.map((name) => (
            <span key={name} role="columnheader">
              {name}
            </span>
          ))}
        </div>
      </div>
      <div
        ref={box}
        class="requests-body"
        role="rowgroup"
        {...(view === undefined ? {} : { style: { height: `${rows.length * view.rowHeight}px` } })}
      >
        {drawn.map((index) => {
          const row = rows[index];
          if (row === undefined) return null;
          const place = { index, onChoose, ...(view === undefined ? {} : { top: index * view.rowHeight }) };
          return row.kind === 'group' ? (
            <GroupRow key={row.id} group={row} {...place} />
          ) : (
            <RequestRow key={row.id} id={row.id} request={row.request} isOfGroup={row.isOfGroup} {...place} />
          );
        })}
      </div>
    </div>
  );
}

interface PlaceProps {
  readonly index: number;
  readonly onChoose: (id: string) => void;
  /** Of a list that is drawn in part, px. */
  readonly top?: number | undefined;
}

/** A row's place among the others, for readers and for the eye. */
function placed({ index, top }: Pick<PlaceProps, 'index' | 'top'>): JSX.IntrinsicElements['div'] {
  return { role: 'row', 'aria-rowindex': index + 2, ...(top === undefined ? {} : { style: { top: `${top}px` } }) };
}

interface RowProps extends PlaceProps {
  readonly id: string;
  readonly request: AccessRequest;
  readonly isOfGroup: boolean;
}

function RequestRow({ id, request, isOfGroup, index, onChoose, top }: RowProps): JSX.Element {
  const { spec, status } = request;
  const isPending = stateOf(request) === 'Pending';
  const look = STATE_LOOKS[stateOf(request)] ?? 'none';
  return (
    <div {...placed({ index, top })} class={`request-row ${isPending ? 'pending' : 'over'}${isOfGroup ? ' of-group' : ''}`}>
      <span role="cell" class="left">
        {isPending ? <Waits request={request} /> : <Mark look={look} word={stateWord(request)} />}
      </span>
      <span role="cell" class="run">
        <a class="row-link" href={`/requests/${keyOf(request)}`} data-row={id} onFocus={() => onChoose(id)}>
          {isOfGroup ? <OwnValues request={request} /> : <EffectLine request={request} />}
        </a>
      </span>
      <span role="cell" class="touches">
        <Touches request={request} />
        {spec.transaction && isPending && <span class="tx"> in a transaction</span>}
      </span>
      <span role="cell" class="asks">
        <Asks request={request} />
      </span>
      <span role="cell" class="needs">
        {isPending || status?.decidedAt === undefined ? (
          (status?.votes ?? '0/1').replace('/', ' of ')
        ) : (
          <Time at={Date.parse(status.decidedAt)} />
        )}
      </span>
    </div>
  );
}

/** Alike ones: how many wait, and how long the first of them does. Nothing is decided here; it opens to each of them. */
function GroupRow({ group, index, onChoose, top }: PlaceProps & { readonly group: Group }): JSX.Element | null {
  const { id, requests, isOpen } = group;
  const waiting = requests.filter((each) => stateOf(each) === 'Pending');
  const [first = requests[0]] = waiting;
  if (first === undefined) return null;
  const all = requests.length === waiting.length;
  return (
    <div {...placed({ index, top })} class={`request-row group ${waiting.length > 0 ? 'pending' : 'over'}`}>
      <span role="cell" class="left">
        {waiting.length > 0 ? <Waits request={first} /> : <Mark look="none" word="decided" />}
      </span>
      <span role="cell" class="run">
        <button
          type="button"
          class="row-link"
          aria-expanded={isOpen}
          data-row={id}
          onFocus={() => onChoose(id)}
          onClick={() => toggleGroup(id)}
        >
          <span aria-hidden="true" class="arrow">
            {isOpen ? '▾' : '▸'}{' '}
          </span>
          <EffectLine request={first} />
        </button>
      </span>
      <span role="cell" class="touches">
        <strong>
          {all ? `${waiting.length.toLocaleString('en')} alike` : `${waiting.length} of ${requests.length} alike wait`}
        </strong>
      </span>
      <span role="cell" class="asks">
        <Asks request={first} />
      </span>
      <span role="cell" class="needs">
        one by one
      </span>
    </div>
  );
}

function Waits({ request }: { request: AccessRequest }): JSX.Element {
  return (
    <>
      <span aria-hidden="true">⧗ </span>
      <Left request={request} />
    </>
  );
}

function Asks({ request: { spec } }: { request: AccessRequest }): JSX.Element {
  return (
    <>
      <Recorded text={spec.agent.serviceAccount} names frame={false} />
      <span aria-hidden="true"> → </span>
      <span class="sr"> on </span>
      <Recorded text={`${spec.resource.namespace}/${spec.resource.name}`} names frame={false} />
    </>
  );
}

/** A line shows no more. */
const MAX_LINE = 300;

function cut(text: string): string {
  return text.length > MAX_LINE ? text.slice(0, MAX_LINE).replace(/[\ud800-\udbff]$/, '') : text;
}

/** What is its own among alike ones: bound values first, then its text. */
function OwnValues({ request: { spec } }: { request: AccessRequest }): JSX.Element {
  return (
    <>
      {spec.parameters?.slice(0, 8).map((value, at) => (
        <span key={at}>
          <span class="mute">${at + 1}</span> <Recorded text={cut(value)} frame={false} />{' '}
        </span>
      ))}
      <Recorded text={cut(spec.text)} frame={false} preview />
    </>
  );
}

/** How much it meets, in a word or two. */
function Touches({ request }: { request: AccessRequest }): JSX.Element {
  const isLooking = useLooking(request);
  const count = request.status?.preview?.count;
  if (count !== undefined) return <>{metCount(request, count)}</>;
  if (isLooking) return <>{LOOKING_WORDS}</>;
  if (!isOfKubernetes(request)) return <>not counted</>;
  return <>{showsWhatItMeets(request) ? 'tried' : 'not previewed'}</>;
}

interface View {
  readonly first: number;
  readonly last: number;
  readonly rowHeight: number;
}

/** What of a list is near the window; undefined where all of it is drawn. */
function useView(box: { current: HTMLDivElement | null }, isLong: boolean): View | undefined {
  const [view, setView] = useState<View>({ first: 0, last: 40, rowHeight: 40 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!isLong || element === null) return undefined;
    const measure = (): void => {
      const rowHeight = Number.parseFloat(getComputedStyle(element).getPropertyValue('--row')) || 40;
      const above = -element.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(above / rowHeight) - MARGIN_ROWS);
      const last = Math.ceil((above + innerHeight) / rowHeight) + MARGIN_ROWS;
      setView((before) =>
        before.first === first && before.last === last && before.rowHeight === rowHeight ? before : { first, last, rowHeight },
      );
    };
    measure();
    addEventListener('scroll', measure, { passive: true });
    addEventListener('resize', measure);
    return () => {
      removeEventListener('scroll', measure);
      removeEventListener('resize', measure);
    };
  }, [isLong]);
  return isLong ? view : undefined;
}

/** Places of the rows to draw, in order, so that the focus walks them as they are seen. */
function indices(length: number, view: View | undefined, chosen: number): number[] {
  const first = view?.first ?? 0;
  const last = Math.min(length, view?.last ?? length);
  const near = Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at);
  if (chosen < 0 || (chosen >= first && chosen < last)) return near;
  return chosen < first ? [chosen, ...near] : [...near, chosen];
}

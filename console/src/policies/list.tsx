import type { ComponentChildren, JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { type KeyAction, useKeys } from '../keys.ts';
import type { Loaded } from '../load.ts';
import { zone } from '../preferences.ts';
import { useStore } from '../store.ts';
import { counted, timeOf, zoneName } from '../time.ts';
import { PageHeading } from '../ui/heading.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Empty, Failure, Skeleton } from '../ui/states.tsx';
import { Mark } from '../ui/verdict.tsx';
import type { Files, ObjectList, Told } from './load.ts';
import { type Known, standing } from './standing.ts';

interface ObjectsProps<T> {
  readonly title: 'Policies' | 'Resources';
  readonly words: readonly [one: string, many: string];
  readonly kind: string;
  readonly told: Loaded<Told<ObjectList<T>>>;
  readonly table: (items: readonly T[]) => ComponentChildren;
}

/** All objects of a kind that this person may get, and how each stands. */
export function Objects<T extends Known>({ title, words, kind, told, table }: ObjectsProps<T>): JSX.Element {
  const { data, error, reload } = told;
  useListKeys(words[0]);
  const right = { see: words[1], verbs: ['get'], on: kind } as const;
  return (
    <>
      <div class="head">
        <PageHeading title={title}>{title}</PageHeading>
        {data !== undefined && <Count told={data} words={words} />}
      </div>
      {data !== undefined && <Mistakes files={data.value.metadata} />}
      {data !== undefined && error !== undefined && <Stale at={data.at} />}
      {data === undefined && error === undefined && <Skeleton rows={6} label={`Loading ${words[1]}`} />}
      {data === undefined && error !== undefined && <Failure error={error} what="The list" onRetry={reload} right={right} />}
      {data !== undefined && (data.value.items.length === 0 ? <Nothing words={words} kind={kind} /> : table(data.value.items))}
      {data !== undefined && <Rest list={data.value} />}
    </>
  );
}

function Count<T extends Known>({
  told: { value, at },
  words,
}: {
  told: Told<ObjectList<T>>;
  words: readonly [string, string];
}): JSX.Element {
  const chosen = useStore(zone);
  const failing = value.items.filter((each) => standing(each).look === 'finding').length;
  const total = value.items.length + (value.metadata.remainingItemCount ?? 0);
  return (
    <p class="count">
      {counted(total, ...words)}
      {failing > 0 && `, ${failing.toLocaleString('en')} not ready`}, as of {timeOf(at, chosen)} {zoneName(chosen)}
    </p>
  );
}

/** What is written in files and is not in force, since nothing of it can be while there is a mistake. */
export function Mistakes({ files: { invalid: lines = [] } }: { files: Files }): JSX.Element | null {
  if (lines.length === 0) return null;
  return (
    <div class="banner deny" role="status">
      <p>
        <Mark look="deny" word="The files have mistakes." /> What is shown and in force is the last version without any.
      </p>
      <ul class="facts">
        {lines.map((line) => (
          <li key={line}>
            <Recorded text={line} frame={false} />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The collector does not answer: what is shown is what it said last. */
export function Stale({ at }: { at: number }): JSX.Element {
  const chosen = useStore(zone);
  return (
    <p class="notice" role="status">
      <span aria-hidden="true">◌</span> The collector does not answer; this is what it said at {timeOf(at, chosen)}{' '}
      {zoneName(chosen)}.
    </p>
  );
}

function Rest({ list: { items, metadata } }: { list: ObjectList<Known> }): JSX.Element | null {
  const rest = metadata.remainingItemCount ?? 0;
  if (rest === 0) return null;
  return (
    <p class="mute end">
      The first {items.length.toLocaleString('en')} by name; {rest.toLocaleString('en')} more are not shown. Add{' '}
      <code>?namespace=NAME</code> to the address for those of one namespace.
    </p>
  );
}

function Nothing({ words, kind }: { words: readonly [string, string]; kind: string }): JSX.Element {
  return (
    <Empty title={`No ${words[1]} here`}>
      <p>
        None is written, or none that you may get: that takes the verb <code>get</code> on <code>{kind}.chaperone.dev</code> in
        its namespace.
      </p>
    </Empty>
  );
}

function useListKeys(word: string): void {
  const actions = useMemo((): KeyAction[] => {
    const step = (by: number): void => {
      const links = [...document.querySelectorAll<HTMLAnchorElement>('a.row-link')];
      const at = links.findIndex((link) => link === document.activeElement);
      links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
    };
    return [
      { keys: ['j', 'ArrowDown'], does: `next ${word}`, run: () => step(1) },
      { keys: ['k', 'ArrowUp'], does: `${word} before`, run: () => step(-1) },
    ];
  }, [word]);
  useKeys(actions);
}

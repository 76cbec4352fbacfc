import type { ComponentChildren, JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { type KeyAction, useKeys } from '../keys.ts';
import type { Loaded } from '../load.ts';
import { go } from '../router.ts';
import { PageHeading } from '../ui/heading.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Failure, Skeleton } from '../ui/states.tsx';
import { Mistakes, Stale } from './list.tsx';
import type { Files, Told } from './load.ts';
import { type Known, standing } from './standing.ts';

interface OneProps<T> {
  /** NAMESPACE/NAME */
  readonly name: string;
  readonly word: 'policy' | 'resource';
  readonly told: Loaded<Told<T>>;
  /** In a line below the name. */
  readonly facts: (object: T) => ComponentChildren;
  readonly children: (object: T) => ComponentChildren;
}

const KINDS = {
  policy: { path: '/policies', title: 'Policies', what: 'Policy', see: 'policies', on: 'accesspolicies' },
  resource: { path: '/resources', title: 'Resources', what: 'Resource', see: 'resources', on: 'protectedresources' },
} as const;

/** One object: what it is called, and what there is to say of it. */
export function One<T extends Known>({ name, word, told, facts, children }: OneProps<T>): JSX.Element {
  const { path, title, what, see, on } = KINDS[word];
  const { data, error, reload } = told;
  useOneKeys(path, see);
  const failing = data !== undefined && standing(data.value).look === 'finding';
  return (
    <article class="object">
      <p class="back">
        <a href={path}>‹ {title}</a>
      </p>
      <PageHeading title={failing ? `⚠ ${name}` : name}>
        <Recorded text={name} names frame={false} />
      </PageHeading>
      {data === undefined && error === undefined && <Skeleton rows={8} label={`Loading the ${word}`} />}
      {data === undefined && error !== undefined && (
        <Failure error={error} what={`${what} ${name}`} onRetry={reload} right={{ see, verbs: ['get'], on }} />
      )}
      {data !== undefined && (
        <>
          <Mistakes files={data.value.metadata as Files} />
          <dl class="meta">{facts(data.value)}</dl>
          {error !== undefined && <Stale at={data.at} />}
          {children(data.value)}
        </>
      )}
    </article>
  );
}

function useOneKeys(path: string, word: string): void {
  const actions = useMemo(
    (): KeyAction[] => [
      {
        keys: ['y'],
        does: 'copy a link to this page',
        run: () => void navigator.clipboard.writeText(location.href).catch(() => undefined),
      },
      { keys: ['u'], does: `back to the ${word}`, run: () => go(path) },
    ],
    [path, word],
  );
  useKeys(actions);
}

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { waiting } from '../requests/live.ts';
import { useStore } from '../store.ts';

/** The one heading of a page; it takes the focus when the page is arrived at, and names the window, with how many requests wait. */
export function PageHeading({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  const count = useStore(waiting);
  useEffect(() => {
    document.title = `${count === 0 ? '' : `(${count.toLocaleString('en')}) `}${title} · Chaperone`;
  }, [title, count]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Lists up to this length are drawn whole: the browser's own find and readers see all of them. */
const WHOLE = 200;
const MARGIN_ROWS = 10;

export interface ListProps<T> {
  readonly items: readonly T[];
  readonly label: string;
  readonly id: string;
  readonly rowHeight: number;
  readonly selected: number;
  readonly onSelect: (index: number) => void;
  readonly onOpen: (index: number) => void;
  readonly row: (item: T) => ComponentChildren;
  readonly rowClass: (item: T) => string;
}

/**
 * A list of which one row is chosen, with rows of one height. The list has the focus, so the chosen row may be anywhere; of a long
 * list only what is near the view is drawn, and the chosen row.
 */
export function VirtualList<T>(props: ListProps<T>): JSX.Element {
  const { items, label, id, rowHeight, selected, onSelect, onOpen } = props;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const whole = items.length <= WHOLE;
  const first = whole ? 0 : Math.max(0, Math.floor(view.top / rowHeight) - MARGIN_ROWS);
  const last = whole ? items.length : Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + MARGIN_ROWS);
  const drawn = Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at);
  if (selected >= 0 && selected < items.length && (selected < first || selected >= last)) drawn.push(selected);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    measure();
    element.addEventListener('scroll', measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', measure);
      observer.disconnect();
    };
  }, []);
  useEffect(() => {
    const element = box.current;
    if (element === null || selected < 0) return;
    const [top, bottom] = [selected * rowHeight, (selected + 1) * rowHeight];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
  }, [selected, rowHeight]);

  const move = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const step = steps[event.key];
    let to: number | undefined;
    if (step !== undefined) to = selected + step;
    else if (event.key === 'Home') to = 0;
    else if (event.key === 'End') to = items.length - 1;
    if (event.key === 'Enter' && selected >= 0) {
      event.preventDefault();
      onOpen(selected);
    } else if (to !== undefined && items.length > 0) {
      event.preventDefault();
      onSelect(Math.max(0, Math.min(items.length - 1, to)));
    }
  };
  const activeId = selected >= 0 && selected < items.length ? `${id}-${selected}` : undefined;
  return (
    <div
      ref={box}
      id={id}
      class="virtual"
      role="listbox"
      tabIndex={0}
      aria-label={label}
      onKeyDown={move}
      {...(activeId === undefined ? {} : { 'aria-activedescendant': activeId })}
    >
      <div class="virtual-inner" role="presentation" style={{ height: `${items.length * rowHeight}px` }}>
        {drawn.map((index) => {
          const item = items[index];
          if (item === undefined) return null;
          return (
            <div
              key={index}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === selected}
              aria-posinset={index + 1}
              aria-setsize={items.length}
              class={`virtual-row ${props.rowClass(item)}`}
              style={{ top: `${index * rowHeight}px`, height: `${rowHeight}px` }}
              onClick={() => {
                onSelect(index);
                onOpen(index);
              }}
            >
              {props.row(item)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

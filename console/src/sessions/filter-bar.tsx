import type { SessionFacets } from '@chaperone/evidence';
import { drawn } from '@chaperone/api/hostile';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type ListFilter, NO_FILTER, SPANS, VERDICTS } from './filter.ts';

interface FilterBarProps {
  readonly filter: ListFilter;
  readonly facets: SessionFacets | undefined;
  readonly onChange: (filter: ListFilter) => void;
}

export function FilterBar({ filter, facets, onChange }: FilterBarProps): JSX.Element {
  const [text, setText] = useState(filter.text);
  useEffect(() => setText(filter.text), [filter.text]);
  const agents = (facets?.agents ?? []).map(({ namespace, name, sessions }) => ({ value: `${namespace}/${name}`, sessions }));
  const resources = [
    ...new Map((facets?.resources ?? []).map(({ namespace, name, sessions }) => [`${namespace}/${name}`, sessions])),
  ].map(([value, sessions]) => ({ value, sessions }));
  const people = (facets?.people ?? []).map(({ user, sessions }) => ({ value: user, sessions }));
  const narrowed = Object.entries(NO_FILTER).some(([name, value]) => filter[name as keyof ListFilter] !== value);
  const search = (event: SubmitEvent): void => {
    event.preventDefault();
    onChange({ ...filter, text: text.trim() });
  };
  return (
    <div class="filters" role="search" aria-label="Sessions">
      <label>
        <span>Time</span>
        <select value={filter.span} onChange={(event) => onChange({ ...filter, span: event.currentTarget.value })}>
          {Object.entries(SPANS).map(([value, { label }]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <Facet
        label="Agent"
        all="Any agent"
        value={filter.agent}
        values={agents}
        onChange={(agent) => onChange({ ...filter, agent })}
      />
      <Facet
        label="Resource"
        all="Any resource"
        value={filter.resource}
        values={resources}
        onChange={(resource) => onChange({ ...filter, resource })}
      />
      {(people.length > 0 || filter.person !== '') && (
        <Facet
          label="Person"
          all="Whoever is behind it"
          value={filter.person}
          values={people}
          onChange={(person) => onChange({ ...filter, person })}
        />
      )}
      <label>
        <span>Verdict</span>
        <select value={filter.verdict} onChange={(event) => onChange({ ...filter, verdict: event.currentTarget.value })}>
          {Object.entries(VERDICTS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <form onSubmit={search}>
        <label>
          <span>Commands that say</span>
          <input
            id="search"
            type="search"
            value={text}
            maxLength={500}
            placeholder="words, / to type"
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <button type="submit">Search</button>
      </form>
      {narrowed && (
        <button type="button" class="quiet clear" onClick={() => onChange(NO_FILTER)}>
          Clear filters
        </button>
      )}
    </div>
  );
}

interface FacetProps {
  readonly label: string;
  readonly all: string;
  readonly value: string;
  readonly values: readonly { readonly value: string; readonly sessions: number }[];
  readonly onChange: (value: string) => void;
}

function Facet({ label, all, value, values, onChange }: FacetProps): JSX.Element {
  const known = value === '' || values.some((each) => each.value === value);
  return (
    <label>
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">{all}</option>
        {!known && <option value={value}>{drawn(value, { names: true })}</option>}
        {values.map((each) => (
          <option key={each.value} value={each.value}>
            {drawn(each.value, { names: true })} ({each.sessions.toLocaleString('en')})
          </option>
        ))}
      </select>
    </label>
  );
}

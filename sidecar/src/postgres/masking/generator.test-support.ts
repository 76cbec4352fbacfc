import { type Choices } from './choices.test-support.ts';

/** Types that generated expressions have; `row` is a whole row under its alias. */
type Kind = 'text' | 'int' | 'date' | 'json' | 'texts' | 'pair';
interface Column {
  readonly name: string;
  readonly kind: Kind;
}
interface Source {
  readonly alias: string;
  readonly columns: readonly Column[];
}
interface Generated {
  readonly sql: string;
  readonly columns: readonly Column[];
}

const KINDS: readonly Kind[] = ['text', 'int', 'date', 'json', 'texts', 'pair'];
const columns = (written: string): Column[] =>
  written.split(' ').map((part) => {
    const [name = '', kind = 'text'] = part.split(':');
    return { name, kind: kind as Kind };
  });
const PERSON = columns(
  'id:int name n:int made:date info:json words:texts ssn age:int born:date doc:json tags:texts pair:pair copy',
);
/** What testdata/generator.sql makes. */
const RELATIONS: readonly (readonly [name: string, columns: readonly Column[]])[] = [
  ['gen.person', PERSON],
  ['gen.visit', columns('id:int person:int note secret at:date')],
  ['gen.person', PERSON],
  ['gen.event', columns('id:int kind token')],
  ['gen.event_a', columns('id:int kind token')],
  ['gen.base', columns('id:int v plain')],
  ['gen.kid', columns('id:int v plain extra')],
  ['gen.sink', columns('id:int a b')],
  ['gen.v_all', PERSON],
  ['gen.v_renamed', columns('one:int two three')],
  ['gen.v_nested', columns('x y:int')],
  ['gen.v_join', columns('note who years:int')],
  ['gen.v_union', columns('x y:int')],
  ['gen.v_groups', columns('s c:int')],
  ['gen.v_safe', columns('id:int name made:date')],
];
/** Columns that hold nothing labelled. */
const PLAIN: ReadonlySet<string> = new Set(
  'id name n made info words person note at kind plain extra a b one three y c k'.split(' '),
);
const LITERALS: Readonly<Record<Kind, string>> = {
  text: `'t'::text`,
  int: '1',
  date: `date '2022-02-02'`,
  json: `'{"k": 1}'::jsonb`,
  texts: `array['l']::text[]`,
  pair: `row('l', 'm')::gen.pair`,
};
/** What makes one kind of others; `$kind` is an expression of that kind, `$any` of some kind, `$row` an alias of a row. */
const forms = (written: string): string[] => written.split(';').map((form) => form.trim());
const FORMS: Readonly<Record<Kind, readonly string[]>> = {
  text: forms(`upper($text); reverse($text); ($text || $text); concat($any, $text); coalesce($text, $text); nullif($text, 'z');
    case when $bool then $text else $text end; greatest($text, $text); least($text, $text); ($int)::text; ($date)::text;
    ($json)::text; ($json ->> 'k'); ($texts)[1]; ($pair).p; ($pair)::text; array_to_string($texts, ','); $row::text;
    format('%s', $any); replace($text, '-', '+'); (array[$text, $text])[1]; encode(convert_to($text, 'UTF8'), 'hex');
    left($text, 100); ($text)::varchar(60); (($text)::name::text collate "default"); (($text collate "C") collate "default");
    translate($text, '-', '_'); overlay($text placing '' from 1 for 0); split_part($text, '!', 1); lpad($text, 80, ' ');
    quote_literal($text); regexp_replace($text, '^', 'r'); (regexp_match($text, '.*'))[1]; row_to_json($row)::text;
    to_jsonb($any)::text; encode(convert_to($text, 'UTF8'), 'base64'); initcap($text); trim($text); substr($text, 1, 60);
    convert_from(convert_to($text, 'UTF8'), 'UTF8')`),
  int: forms(`($int + 0); coalesce($int, $int); case when $bool then $int else $int end; greatest($int, $int); length($text);
    (($int)::text)::int; ($int)::bigint::int; abs($int); (array[$int])[1]; cardinality($texts)`),
  date: forms('($date + 0); coalesce($date, $date); case when $bool then $date else $date end; ($date)::timestamp::date'),
  json: forms(`to_jsonb($any); to_jsonb($row); jsonb_build_object('a', $any, 'b', $any); jsonb_build_array($any, $any);
    row_to_json($row)::jsonb; ($json || $json); coalesce($json, $json); jsonb_build_object('z', $json);
    json_build_array($any)::jsonb; jsonb_path_query_first(jsonb_build_array($any), '$[0]'); jsonb_strip_nulls($json)`),
  texts: forms(`array[$text, $text]; string_to_array($text, '!'); ($texts || $texts); array_append($texts, $text);
    ($texts)[1:2]; coalesce($texts, $texts); (array[$int])::text[]; regexp_split_to_array($text, '!')`),
  pair: forms('row($text, $text)::gen.pair; coalesce($pair, $pair); case when $bool then $pair else $pair end'),
};
const CONDITIONS = [
  'true',
  '$int > 0',
  '$text is not null',
  '$text <> $text or true',
  'exists (select 1) ',
  "$date > date '1000-01-01'",
];
const AGGREGATES: readonly (readonly [form: string, kind: Kind])[] = [
  [`string_agg($text, ',')`, 'text'],
  ['max($text)', 'text'],
  ['min($text) filter (where $bool)', 'text'],
  ['max($int)', 'int'],
  ['count(*)::int', 'int'],
  ['min($date)', 'date'],
  ['jsonb_agg($any)', 'json'],
  ['jsonb_object_agg(coalesce($int, 0), $any)', 'json'],
  ['array_agg($text)', 'texts'],
  [`string_agg($text, ',' order by $text)`, 'text'],
  ['mode() within group (order by $text)', 'text'],
  ['(array_agg($text))[1]', 'text'],
];
const WINDOWS: readonly (readonly [form: string, kind: Kind])[] = [
  ['first_value($text) over (order by $int)', 'text'],
  ['lag($text, 0) over ()', 'text'],
  ['max($int) over (partition by $text)', 'int'],
  [`string_agg($text, ',') over (order by $int rows between unbounded preceding and unbounded following)`, 'text'],
  ['row_number() over (order by $text)::int', 'int'],
  ['nth_value($date, 1) over (order by $int)', 'date'],
];
/** Deepest nesting of expressions and of queries. */
const MAX_DEPTH = 3;
const MAX_NESTING = 3;

/** Makes one statement of PostgreSQL that is valid on testdata/generator.sql; equal choices make equal statements. */
export function generate(choices: Choices, major: number): string {
  return new Generator(choices, major).statement();
}

class Generator {
  readonly #choices: Choices;
  readonly #major: number;
  #names = 0;

  constructor(choices: Choices, major: number) {
    this.#choices = choices;
    this.#major = major;
  }

  statement(): string {
    return this.#choices.oneIn(6) ? this.#write() : this.#query([], [], 0).sql;
  }

  #name(prefix: string): string {
    return `${prefix}${++this.#names}`;
  }

  /** A query; `outer` are rows around it that it may use, `ctes` queries that it may name. */
  #query(outer: readonly Source[], ctes: readonly Source[], nesting: number, wanted?: readonly Kind[]): Generated {
    const shapes = [() => this.#select(outer, ctes, nesting, wanted)];
    if (nesting < MAX_NESTING) {
      shapes.push(
        () => this.#grouped(outer, ctes, nesting, wanted),
        () => this.#operation(outer, ctes, nesting, wanted),
        () => this.#with(outer, ctes, nesting, wanted),
        () => this.#recursive(outer, ctes, nesting, wanted),
        () => this.#select(outer, ctes, nesting, wanted),
      );
    }
    return this.#choices.of(shapes)();
  }

  /** Kinds of columns to show: those that are there, or any. */
  #kinds(sources: readonly Source[]): readonly Kind[] {
    const there = sources.flatMap((source) => source.columns.filter(({ name }) => !PLAIN.has(name)).map(({ kind }) => kind));
    return Array.from({ length: 1 + this.#choices.below(3) }, () =>
      this.#choices.of(this.#choices.oneIn(4) || there.length === 0 ? KINDS : there),
    );
  }

  #select(outer: readonly Source[], ctes: readonly Source[], nesting: number, wanted?: readonly Kind[]): Generated {
    const { from, sources } = this.#from(outer, ctes, nesting);
    const scope = [...sources, ...outer];
    const windows = this.#choices.oneIn(4);
    const items = (wanted ?? this.#kinds(sources)).map((kind) => {
      const window = windows ? WINDOWS.filter(([, of]) => of === kind) : [];
      const sql =
        window.length > 0 ? this.#fill(this.#choices.of(window)[0], scope, 1) : this.#value(kind, scope, 0, nesting, ctes);
      return { sql, column: { name: this.#name('c'), kind } };
    });
    const list = items.map(({ sql, column }) => `${sql} as ${column.name}`).join(', ');
    const star = wanted === undefined && this.#choices.oneIn(5) ? this.#choices.of(sources) : undefined;
    const distinct = this.#choices.oneIn(6) ? 'distinct ' : '';
    const where = this.#choices.oneIn(2) ? ` where ${this.#condition(scope)}` : '';
    const order = this.#choices.oneIn(4) ? ` order by 1${this.#choices.oneIn(3) ? ' limit 2' : ''}` : '';
    return {
      sql: `select ${distinct}${list}${star ? `, ${star.alias}.*` : ''} from ${from}${where}${order}`,
      columns: items.map(({ column }) => column),
    };
  }

  #grouped(outer: readonly Source[], ctes: readonly Source[], nesting: number, wanted?: readonly Kind[]): Generated {
    const { from, sources } = this.#from(outer, ctes, nesting);
    const keys = sources.flatMap((source) =>
      source.columns.map((column) => ({ ...column, sql: `${source.alias}.${column.name}` })),
    );
    const by = [this.#choices.of(keys), this.#choices.of(keys)];
    const items = (wanted ?? this.#kinds(sources)).map((kind) => {
      const key = by.find((one) => one.kind === kind);
      const aggregates = AGGREGATES.filter(([, of]) => of === kind);
      const name = this.#name('g');
      if (key !== undefined && this.#choices.below(3) > 0) return { sql: key.sql, column: { name, kind } };
      const sql = aggregates.length > 0 ? this.#fill(this.#choices.of(aggregates)[0], sources, 1) : LITERALS[kind];
      return { sql, column: { name, kind } };
    });
    const [a = '', b = ''] = by.map(({ sql }) => sql);
    const clause = this.#choices.of([
      `${a}, ${b}`,
      `grouping sets ((${a}), (${b}), (${a}, ${b}))`,
      `rollup (${a}, ${b})`,
      `cube (${a}, ${b})`,
    ]);
    const having = this.#choices.oneIn(4) ? ' having count(*) > 0' : '';
    return {
      sql: `select ${items.map(({ sql, column }) => `${sql} as ${column.name}`).join(', ')} from ${from} group by ${clause}${having}`,
      columns: items.map(({ column }) => column),
    };
  }

  #operation(outer: readonly Source[], ctes: readonly Source[], nesting: number, wanted?: readonly Kind[]): Generated {
    const kinds = wanted ?? this.#kinds([]);
    const left = this.#query(outer, ctes, nesting + 1, kinds);
    const right = this.#query(outer, ctes, nesting + 1, kinds);
    const operator = this.#choices.of(['union all', 'union', 'union all', 'except']);
    return { sql: `(${left.sql}) ${operator} (${right.sql})`, columns: left.columns };
  }

  #with(outer: readonly Source[], ctes: readonly Source[], nesting: number, wanted?: readonly Kind[]): Generated {
    const inner = this.#query(outer, ctes, nesting + 1);
    const cte = { alias: this.#name('w'), columns: inner.columns };
    const how = this.#choices.of(['', 'materialized ', 'not materialized ']);
    const names = cte.columns.map(({ name }) => name).join(', ');
    const rest = this.#query(outer, [cte, ...ctes], nesting + 1, wanted);
    // A star in the inner query shows more columns than are named.
    const head = `with ${cte.alias} as ${how}(select ${names} from (${inner.sql}) ${this.#name('q')})`;
    return { sql: `${head} ${this.#after(rest)}`, columns: rest.columns };
  }

  #recursive(outer: readonly Source[], ctes: readonly Source[], nesting: number, wanted?: readonly Kind[]): Generated {
    const kinds = this.#kinds([]);
    const first = this.#query(outer, ctes, nesting + 1, kinds);
    const alias = this.#name('r');
    const cte = {
      alias,
      columns: [{ name: 'n', kind: 'int' as const }, ...kinds.map((kind) => ({ name: this.#name('x'), kind }))],
    };
    const start = this.#name('q');
    const step = kinds.map((kind) => cast(this.#value(kind, [cte], 2, MAX_NESTING, []), kind));
    const begin = first.columns.map(({ name, kind }) => cast(`${start}.${name}`, kind));
    const names = cte.columns.map(({ name }) => name).join(', ');
    const rest = this.#query(outer, [cte, ...ctes], nesting + 1, wanted);
    const walk = `select 1, ${begin.join(', ')} from (${first.sql}) ${start} union all select n + 1, ${step.join(', ')} from ${alias} where n < 3`;
    return { sql: `with recursive ${alias}(${names}) as (${walk}) ${this.#after(rest)}`, columns: rest.columns };
  }

  /** The query that a WITH stands before: one WITH may not follow another. */
  #after({ sql }: Generated): string {
    const alias = this.#name('q');
    return `select ${alias}.* from (${sql}) ${alias}`;
  }

  #from(outer: readonly Source[], ctes: readonly Source[], nesting: number): { from: string; sources: readonly Source[] } {
    const first = this.#source(outer, ctes, nesting);
    if (this.#choices.below(3) < 2) return { from: first.sql, sources: [first.source] };
    const second = this.#source([first.source, ...outer], ctes, nesting, true);
    const joins = second.lateral ? ['cross join', 'left join'] : ['join', 'left join', 'cross join', 'full join'];
    const join = this.#choices.of(joins);
    const on = join === 'cross join' ? '' : ' on true';
    return { from: `${first.sql} ${join} ${second.sql}${on}`, sources: [first.source, second.source] };
  }

  #source(
    outer: readonly Source[],
    ctes: readonly Source[],
    nesting: number,
    second = false,
  ): { sql: string; source: Source; lateral: boolean } {
    const alias = this.#name('t');
    const plain = (): { sql: string; source: Source; lateral: boolean } => {
      const [name, of] = this.#choices.of(RELATIONS);
      return { sql: `${name} ${alias}`, source: { alias, columns: of }, lateral: false };
    };
    const shapes = [plain, plain];
    if (ctes.length > 0) {
      shapes.push(() => {
        const cte = this.#choices.of(ctes);
        return { sql: `${cte.alias} ${alias}`, source: { alias, columns: cte.columns }, lateral: false };
      });
    }
    if (nesting < MAX_NESTING) {
      shapes.push(() => {
        const lateral = second && this.#choices.oneIn(2);
        const { sql, columns: of } = this.#query(lateral ? outer : outer.slice(second ? 1 : 0), ctes, nesting + 1);
        return { sql: `${lateral ? 'lateral ' : ''}(${sql}) ${alias}`, source: { alias, columns: of }, lateral };
      });
    }
    if (second) {
      shapes.push(() => {
        const sql = `lateral (select f.u from unnest(${this.#value('texts', outer, 1, MAX_NESTING, [])}) f(u)) ${alias}`;
        return { sql, source: { alias, columns: [{ name: 'u', kind: 'text' }] }, lateral: true };
      });
      shapes.push(() => {
        const rows = [0, 1].map(
          () => `(${this.#value('text', outer, 2, MAX_NESTING, [])}, ${this.#value('int', outer, 2, MAX_NESTING, [])})`,
        );
        const source = { alias, columns: columns('a b:int') };
        return { sql: `lateral (values ${rows.join(', ')}) ${alias}(a, b)`, source, lateral: true };
      });
      shapes.push(() => {
        const sql = `lateral jsonb_each_text(jsonb_build_object('k', ${this.#value('text', outer, 1, MAX_NESTING, [])})) ${alias}(k, v)`;
        return { sql, source: { alias, columns: columns('k v') }, lateral: true };
      });
    }
    return this.#choices.of(shapes)();
  }

  #condition(scope: readonly Source[]): string {
    return this.#fill(this.#choices.of(CONDITIONS), scope, 2);
  }

  /** An expression of a kind: a column, something made of others, a sub-select, or a literal where nothing else is there. */
  #value(kind: Kind, scope: readonly Source[], depth: number, nesting: number, ctes: readonly Source[]): string {
    const choice = this.#choices.below(8);
    if (choice < 4 || depth >= MAX_DEPTH) return this.#column(kind, scope) ?? LITERALS[kind];
    if (choice === 7 && nesting < MAX_NESTING - 1) {
      const {
        sql,
        columns: [first],
      } = this.#query(scope, ctes, nesting + 2, [kind]);
      const alias = this.#name('s');
      return `(select ${alias}.${first?.name ?? ''} from (${sql}) ${alias} limit 1)`;
    }
    return this.#fill(this.#choices.of(FORMS[kind]), scope, depth + 1);
  }

  /** A column of the kind, more often one that may hold something than one that cannot. */
  #column(kind: Kind, scope: readonly Source[]): string | undefined {
    const all = scope.flatMap((source) =>
      source.columns
        .filter((one) => one.kind === kind)
        .map((one) => ({ sql: `${source.alias}.${one.name}`, plain: PLAIN.has(one.name) })),
    );
    const telling = all.filter(({ plain }) => !plain);
    const among = telling.length > 0 && !this.#choices.oneIn(4) ? telling : all;
    return among.length > 0 ? this.#choices.of(among).sql : undefined;
  }

  #fill(form: string, scope: readonly Source[], depth: number): string {
    return form.replaceAll(/\$(any|row|bool|text|int|date|json|texts|pair)\b/g, (_, what: string) => {
      if (what === 'row') return this.#choices.of(scope).alias;
      if (what === 'bool') return `(${this.#condition(scope)})`;
      return this.#value(what === 'any' ? this.#choices.of(KINDS) : (what as Kind), scope, depth, MAX_NESTING, []);
    });
  }

  /** A statement that writes and shows what it wrote, and others' columns where it can. */
  #write(): string {
    const person = { alias: 't', columns: PERSON };
    const visit = { alias: 'v', columns: columns('id:int person:int note secret at:date') };
    const shown = (scope: readonly Source[]): string => this.#value(this.#choices.of(KINDS), scope, 0, MAX_NESTING, []);
    const text = (scope: readonly Source[]): string => this.#value('text', scope, 1, MAX_NESTING, []);
    const sink = { alias: 'k', columns: columns('id:int a b') };
    const shapes = [
      () => `update gen.person t set name = ${text([person])} returning ${shown([person])} as c`,
      () =>
        `update gen.sink k set a = ${text([visit, sink])} from gen.visit v where v.id = 1 returning ${shown([sink, visit])} as c, k.*`,
      () => `delete from gen.visit v using gen.person t where t.id = v.person returning ${shown([visit, person])} as c`,
      () =>
        `insert into gen.sink(id, a, b) select 100 + v.id, ${text([visit])}, 'x' from gen.visit v returning a as c, sink as d`,
      () => `with x as (update gen.person t set name = 'y' returning ${shown([person])} as c) select c, x.* from x`,
      () => `with x as (delete from gen.visit v returning v.*) select ${shown([{ ...visit, alias: 'x' }])} as c from x`,
      () =>
        `insert into gen.sink as k(id, a) values (1, 'x') on conflict (id) do update set b = excluded.a || (select ${text([visit])} from gen.visit v limit 1) returning b as c`,
      () => `update gen.person t set (name, ssn) = (select ${text([visit])}, 's' from gen.visit v limit 1) returning t.name as c`,
      () =>
        this.#major < 15
          ? `update gen.sink k set a = ${text([visit])} from gen.visit v where k.id = v.id returning ${shown([sink, visit])} as c`
          : `merge into gen.sink k using gen.visit v on k.id = v.id when matched then update set a = ${text([visit])}${this.#merged(shown([sink, visit]))}`,
      () =>
        this.#major < 18
          ? `delete from gen.person t returning t as c`
          : `update gen.person t set ssn = 'x', name = 'y' returning old.${this.#choices.of(PERSON).name} as c, new.name as d, old as e`,
    ];
    return this.#choices.of(shapes)();
  }

  #merged(shown: string): string {
    return this.#major < 17 ? '' : ` returning ${shown} as c`;
  }
}

/** Both terms of a recursive query must agree on type and collation. */
const cast = (sql: string, kind: Kind): string => {
  const collated = kind === 'text' || kind === 'texts' ? ' collate "default"' : '';
  return `(cast(${sql} as ${TYPES[kind]})${collated})`;
};
const TYPES: Readonly<Record<Kind, string>> = {
  text: 'text',
  int: 'int',
  date: 'date',
  json: 'jsonb',
  texts: 'text[]',
  pair: 'gen.pair',
};

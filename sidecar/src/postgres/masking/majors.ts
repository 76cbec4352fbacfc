/** What a statement does, as a tree says it. */
export type Command = 'select' | 'insert' | 'update' | 'delete' | 'merge' | 'utility';

/** How one major of PostgreSQL prints trees. What is not in its table is taken for anything, or refused. */
export interface Major {
  /** Tags that it prints otherwise than its successors, and what those print. */
  readonly renamed: Readonly<Record<string, string>>;
  /** Tags, once renamed, that are nothing more than what their fields say. */
  readonly tags: ReadonlySet<string>;
  /** nodes.h CmdType, as printed. */
  readonly commands: Readonly<Record<string, Command>>;
  /** parsenodes.h RTEKind, as printed: the ones whose columns can be followed. */
  readonly rangeKinds: ReadonlySet<string>;
  /** Where the rights stand that the server will ask for: in each range entry, or in a list of their own. */
  readonly rights: 'rtable' | 'rteperminfos';
}

const words = (text: string): string[] => text.trim().split(/\s+/);

const TAGS_14 = words(`
  AGGREF ALIAS ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASEEXPR CASETESTEXPR CASEWHEN COALESCEEXPR COERCETODOMAIN
  COERCEVIAIO COLLATEEXPR COMMONTABLEEXPR CONST CONVERTROWTYPEEXPR CTECYCLECLAUSE CTESEARCHCLAUSE
  CURRENTOFEXPR DISTINCTEXPR FIELDSELECT FIELDSTORE FROMEXPR FUNCEXPR GROUPINGFUNC GROUPINGSET INFERENCEELEM JOINEXPR
  MINMAXEXPR NAMEDARGEXPR NEXTVALUEEXPR NULLIFEXPR NULLTEST ONCONFLICTEXPR OPEXPR PARAM QUERY RANGETBLENTRY RANGETBLFUNCTION
  RANGETBLREF RELABELTYPE ROWCOMPAREEXPR ROWEXPR ROWMARKCLAUSE SCALARARRAYOPEXPR SETOPERATIONSTMT SORTGROUPCLAUSE
  SQLVALUEFUNCTION SUBLINK SUBSCRIPTINGREF TABLEFUNC TABLESAMPLECLAUSE TARGETENTRY VAR WINDOWCLAUSE WINDOWFUNC WITHCHECKOPTION
  XMLEXPR`);
const TAGS_15 = [...TAGS_14, 'MERGEACTION'];
const TAGS_16 = [
  ...TAGS_15,
  ...words('JSONCONSTRUCTOREXPR JSONFORMAT JSONISPREDICATE JSONRETURNING JSONVALUEEXPR RTEPERMISSIONINFO'),
];
const TAGS_17 = [
  ...TAGS_16,
  ...words('JSONBEHAVIOR JSONEXPR JSONTABLEPATH JSONTABLEPATHSCAN JSONTABLESIBLINGJOIN MERGESUPPORTFUNC'),
];
const TAGS_18 = [...TAGS_17, 'RETURNINGEXPR'];

const RENAMED_IN_15: Readonly<Record<string, string>> = {
  ARRAY: 'ARRAYEXPR',
  CASE: 'CASEEXPR',
  WHEN: 'CASEWHEN',
  COALESCE: 'COALESCEEXPR',
  COLLATE: 'COLLATEEXPR',
  CTE: 'COMMONTABLEEXPR',
  MINMAX: 'MINMAXEXPR',
  ROW: 'ROWEXPR',
  ROWCOMPARE: 'ROWCOMPAREEXPR',
  RTE: 'RANGETBLENTRY',
};

const COMMANDS_14 = { 1: 'select', 2: 'update', 3: 'insert', 4: 'delete', 5: 'utility' } as const;
const COMMANDS_15 = { ...COMMANDS_14, 5: 'merge', 6: 'utility' } as const;

/** parsenodes.h RTEKind, as printed. Tuplestores of triggers (7) and the planner's own (8) stand in no statement that an agent sends. */
export const RTE = {
  relation: '0',
  subquery: '1',
  join: '2',
  function: '3',
  tableFunction: '4',
  values: '5',
  cte: '6',
  /** From 18 on. */
  group: '9',
} as const;
const ALL_RANGE_KINDS: ReadonlySet<string> = new Set(Object.values(RTE));
const RANGE_KINDS_TO_17 = new Set([...ALL_RANGE_KINDS].filter((kind) => kind !== RTE.group));

const MAJORS: ReadonlyMap<number, Major> = new Map<number, Major>([
  [14, major(TAGS_14, { renamed: RENAMED_IN_15, commands: COMMANDS_14, rights: 'rtable' })],
  [15, major(TAGS_15, { rights: 'rtable' })],
  [16, major(TAGS_16)],
  [17, major(TAGS_17)],
  [18, major(TAGS_18, { rangeKinds: ALL_RANGE_KINDS })],
]);

function major(tags: readonly string[], differs: Partial<Major> = {}): Major {
  const common = { renamed: {}, commands: COMMANDS_15, rangeKinds: RANGE_KINDS_TO_17, rights: 'rteperminfos' } as const;
  return { ...common, tags: new Set(tags), ...differs };
}

/** Majors whose trees can be read, the oldest first. */
export const SUPPORTED_MAJORS: readonly number[] = [...MAJORS.keys()];

/** How a major prints trees; undefined where it is not supported. */
export function majorOf(number: number): Major | undefined {
  return MAJORS.get(number);
}

/** Statements that are refused by their form, with what an agent should do instead where there is something. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ['CreateTableAsStmt', 'it would copy data out of the reach of its labels; create the table and INSERT … SELECT'],
  ['ViewStmt', 'a view would carry data out of the reach of the rules on its relations; write the query itself'],
  ['DoStmt', 'what a DO block runs cannot be told; send its statements one by one'],
  ['CallStmt', 'what a procedure runs cannot be told; send its statements one by one'],
  ['ListenStmt', 'notifications pass data between sessions unseen; poll a table'],
  ['NotifyStmt', 'notifications pass data between sessions unseen; write to a table'],
  ['LoadStmt', 'it loads code into the server'],
  ['CreateFunctionStmt', 'functions run code that is not judged; they belong into a migration'],
  ['AlterFunctionStmt', 'functions run code that is not judged; they belong into a migration'],
  ['CreateTrigStmt', 'triggers run code that is not judged; they belong into a migration'],
  ['CreateEventTrigStmt', 'triggers run code that is not judged; they belong into a migration'],
  ['RuleStmt', 'a rewrite rule changes what statements do; it belongs into a migration'],
  ['DiscardStmt', 'it would undo the settings of this connection; open a new one instead'],
  ['RenameStmt', 'labels and rules are bound to names; renaming belongs into a migration'],
  ['AlterObjectSchemaStmt', 'labels and rules are bound to names; moving belongs into a migration'],
  ['AlterOwnerStmt', 'owners are not changed through the proxy'],
  ['CreateRoleStmt', 'roles are not managed through the proxy'],
  ['AlterRoleStmt', 'roles are not managed through the proxy'],
  ['AlterRoleSetStmt', 'roles are not managed through the proxy'],
  ['DropRoleStmt', 'roles are not managed through the proxy'],
  ['AlterSystemStmt', 'the server is not configured through the proxy'],
  ['AlterDatabaseSetStmt', 'the server is not configured through the proxy'],
]);

/** Why a statement with this tag is refused. */
export function refusalOf(tag: string): string {
  return REFUSED.get(tag) ?? 'this kind of statement is not supported';
}

/** What a client did in one step. Each program prints one a line, as JSON. */
export interface Step {
  readonly step: string;
  readonly result?: unknown;
  readonly error?: { readonly sqlstate: string; readonly message: string };
}

export function say(step: Step): void {
  process.stdout.write(`${JSON.stringify(step)}\n`);
}

/** SQLSTATE of an error; its name where it has none. */
export function errorOf(error: unknown): { sqlstate: string; message: string } {
  if (!(error instanceof Error)) throw error;
  const { code } = error as Error & { code?: unknown };
  return { sqlstate: typeof code === 'string' ? code : error.name, message: error.message };
}

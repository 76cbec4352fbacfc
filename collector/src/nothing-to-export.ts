/** A period without evidence, one with more of it than a file holds, or a checkpoint that this log never had. */
export class NothingToExport extends Error {
  override readonly name = 'NothingToExport';
  readonly code: 'NotFound' | 'BadRequest';
  constructor(code: NothingToExport['code'], message: string) {
    super(message);
    this.code = code;
  }
}

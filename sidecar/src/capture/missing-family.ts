/** True where an address cannot be bound or reached because this network namespace lacks its family (IPv6 switched off, say). */
export function isMissingFamily(error: unknown): boolean {
  return ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ENETUNREACH'].includes(errorCode(error));
}

/** The `code` of a system error, or ''. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

import { isIP } from 'node:net';

/**
 * UpstreamForbidden: the guard refuses its addresses · UpstreamRefused: nothing listens · UpstreamUnreachable: no address, no
 * answer in time, or closed before the login was done · UpstreamAborted: the caller gave up · UpstreamViolation: the server said
 * what no server says · TLSUnavailable: it has no TLS · TLSUntrusted: its certificate is not from a trusted authority, or
 * expired · TLSNameMismatch: its certificate is for another name · TLSFailed: any other TLS fault · UpstreamAuthUnsupported: it
 * asks for the credential in a form in which it is never given · UpstreamNotAuthentic: it does not know the credential that it
 * asked for · CredentialsRejected (28P01, 28000) · UpstreamDatabaseMissing (3D000) · UpstreamBusy (53300) ·
 * PoolerDropsOptions: a pooler refuses the settings that judging needs · UpstreamLoginRefused: any other SQLSTATE.
 */
export type UpstreamErrorCode =
  | 'UpstreamForbidden'
  | 'UpstreamRefused'
  | 'UpstreamUnreachable'
  | 'UpstreamAborted'
  | 'UpstreamViolation'
  | 'TLSUnavailable'
  | 'TLSUntrusted'
  | 'TLSNameMismatch'
  | 'TLSFailed'
  | 'UpstreamAuthUnsupported'
  | 'UpstreamNotAuthentic'
  | 'CredentialsRejected'
  | 'UpstreamDatabaseMissing'
  | 'UpstreamBusy'
  | 'PoolerDropsOptions'
  | 'UpstreamLoginRefused';

/** Why there is no upstream connection. The message may be shown to an agent: no host, no credential, no text of the server. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly code: UpstreamErrorCode;
  /** What the server named as the reason, where it did and it has the form of one. */
  readonly sqlstate: string | undefined;
  /** With TLSNameMismatch: the names that the certificate is for, for the owner of the resource. */
  readonly certificateNames: string | undefined;
  /** With TLSUntrusted: who signed the certificate, as it says, for the owner of the resource. */
  readonly issuer: string | undefined;
  constructor(
    code: UpstreamErrorCode,
    message: string,
    options: ErrorOptions & Partial<Pick<UpstreamError, 'sqlstate' | 'certificateNames' | 'issuer'>> = {},
  ) {
    super(message, options);
    this.code = code;
    this.sqlstate = options.sqlstate;
    this.certificateNames = options.certificateNames;
    this.issuer = options.issuer;
  }

  /** The address that was dialled, where the system says it. */
  get address(): string | undefined {
    const { address } = (this.cause ?? {}) as { address?: unknown };
    return typeof address === 'string' && isIP(address) !== 0 ? address : undefined;
  }
  /** Why a certificate was refused, as OpenSSL names it: the server's (TLSUntrusted) or, an alert, ours (CredentialsRejected). */
  get verifier(): string | undefined {
    const { code } = (this.cause ?? {}) as { code?: unknown };
    // Versions of OpenSSL differ in what they write before the alert: SSLV3, TLSV1, SSL/TLS.
    const name = typeof code === 'string' ? code.replace(/^ERR_SSL_.*_(?=ALERT_)/, '') : '';
    return /^[A-Z][A-Z0-9_]{1,63}$/.test(name) ? name : undefined;
  }
}

import type { SignInFailure } from '@chaperone/evidence';

/** Why nobody was signed in. The message is for the log and holds nothing of what the provider or the browser sent. */
export class SignInError extends Error {
  override readonly name = 'SignInError';
  readonly code: SignInFailure;
  constructor(code: SignInFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

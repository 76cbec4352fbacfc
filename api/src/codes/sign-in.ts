import type { CodeTable } from './entry.ts';

/** Why nobody was signed in to the console through an identity provider; the collector's log says it too, with what it knows. */
export const SIGN_IN_CODES = {
  ProviderUnavailable: {
    audience: ['platform', 'operator'],
    what: 'The identity provider cannot be used.',
    why: 'It does not answer within 5 s over TLS that the collector trusts, says that it is another issuer, or the client secret is not there.',
    fix: 'Read why in the collector’s log; check issuerUrl to the letter, caSecretRef and clientSecretRef of collector.console.oidc, or certificateSecretRef of saml.',
    retry: 'try-later',
    example:
      '{"level":"warn","message":"a sign-in failed","code":"ProviderUnavailable","why":"the identity provider does not answer","cause":"ECONNREFUSED"}',
  },
  ProviderRefused: {
    audience: ['platform', 'operator'],
    what: 'The identity provider refused the sign-in or its code.',
    why: 'It does not know the client, its secret or the address that it is to send people back to, or it has a fault of its own.',
    fix: 'Read its answer (cause) in the collector’s log; at the provider, the client needs ORIGIN/auth/oidc/callback, or of SAML ORIGIN/auth/saml/callback.',
    retry: 'change-it',
    example:
      '{"level":"warn","message":"a sign-in failed","code":"ProviderRefused","why":"the provider refused","cause":"invalid_grant"}',
  },
  SignInDenied: {
    audience: ['platform'],
    what: 'The identity provider let nobody in.',
    why: 'The person cancelled there, or may not use this client (access_denied).',
    fix: 'Sign in again; whoever runs the provider lets the person or a group use the client.',
    retry: 'change-it',
    example: 'The identity provider let nobody in: it was cancelled there, or this account may not use Chaperone. SignInDenied',
  },
  SignInUnknown: {
    audience: ['platform'],
    what: 'No sign-in of this browser waits for the provider’s answer.',
    why: 'An answer counts once, within ten minutes, in the browser and tab that began last, and at the collector that has not restarted since.',
    fix: 'Sign in again. Where it happens every time, the console is opened at another address than collector.console.origin, or the browser keeps no cookies.',
    retry: 'change-it',
    example:
      '{"level":"warn","message":"a sign-in failed","code":"SignInUnknown","why":"no sign-in of this browser waits for this answer"}',
  },
  SignInRejected: {
    audience: ['platform', 'operator'],
    what: 'What the identity provider sent is not accepted.',
    why: 'The ID token or the SAML assertion is not signed by a key of the provider, with an algorithm that is taken, for this console and this sign-in.',
    fix: 'Read which claim or parameter it is in the collector’s log; compare clientId, issuerUrl and signingAlgs, or entityId and idpIssuer, with the provider.',
    retry: 'change-it',
    example:
      '{"level":"warn","message":"a sign-in failed","code":"SignInRejected","why":"what the provider sent is not accepted: unexpected JWT \\"aud\\" (audience) claim value"}',
  },
  ClaimMissing: {
    audience: ['platform'],
    what: 'The ID token lacks a claim that is required, or has another value of it.',
    why: 'It is one of requiredClaims, the one that names the user, or the e-mail address is not verified.',
    fix: 'Have the provider put it into ID tokens, or change usernameClaim or requiredClaims of collector.console.oidc.',
    retry: 'change-it',
    example:
      '{"level":"warn","message":"a sign-in failed","code":"ClaimMissing","why":"the claim that names the user is missing"}',
  },
  ClaimUnreadable: {
    audience: ['platform'],
    what: 'The user or the groups that the ID token names cannot be used.',
    why: 'A name is empty, longer than 256 characters or not printable; there are more than 256 groups, or the token refers to them elsewhere.',
    fix: 'Have the provider put fewer groups into the token, those of the console alone for example.',
    retry: 'change-it',
    example: '{"level":"warn","message":"a sign-in failed","code":"ClaimUnreadable","why":"there are more than 256 groups"}',
  },
  NameReserved: {
    audience: ['platform'],
    what: 'The ID token names a user or group that is the cluster’s own.',
    why: 'Names that begin with system: have rights that no provider may give, such as those of system:masters.',
    fix: 'Rename the group at the provider, or leave it out of the token. A prefix does not help.',
    retry: 'change-it',
    example: '{"level":"warn","message":"a sign-in failed","code":"NameReserved","why":"a user or group begins with system:"}',
  },
} as const satisfies CodeTable;
